//! The connection: calls to the services, with answers as plain types.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tally_api::v1;
use tally_api::v1::get_lineage_request::Start as WireStart;
use tally_api::v1::get_workflow_request::Workflow as WireWorkflow;
use tally_api::v1::ledger_client::LedgerClient;
use tally_api::v1::projections_client::ProjectionsClient;
use tally_api::v1::proofs_client::ProofsClient;
use tally_api::v1::provenance_client::ProvenanceClient;
use tally_api::v1::query_client::QueryClient;
use tally_api::v1::replication_client::ReplicationClient;
use tally_api::v1::{
    AppendRequest, AppendStreamRequest, AtLeast, GetAgentRequest, GetComplianceRequest,
    GetHeadRequest, GetLineageResponse, GetLogReceiptRequest, GetWorkflowRequest,
    ListFindingsRequest, ListIntentsRequest, ListTasksRequest, ReadEventsRequest,
    SearchCatalogRequest, SubscribeRequest, get_log_receipt_request,
};
use tally_api::{
    BadAnswer, BadReceipt, CONNECTION_WINDOW_BYTES, FRAME_BYTES, LogReceipt, MAX_MESSAGE_BYTES,
    STREAM_WINDOW_BYTES, lineage_request, wire_moment,
};
use tally_coordination::view::{
    AgentView, CatalogView, ComplianceView, FindingsView, IntentView, Scope, Selector, TaskView,
};
use tally_protocol::message::Discover;
use tally_protocol::{
    AgentId, AgentKey, AsOf, ChainHash, EnvelopeId, Origin, Position, SignedEnvelope, TimeSearch,
    TimeStep, TraceId, TreeSize,
};
use tally_provenance::{LineageQuestion, Workflow};
use tally_tlog::{Hash, SignedCheckpoint, VerifiedCheckpoint, VerifierKey};
use tonic::transport::{Channel, Endpoint};

use crate::appends::Appends;
use crate::author::Author;
use crate::error::{ConnectError, Error};
use crate::receipt::Receipt;
use crate::subscription::Subscription;

/// First wait before an envelope is appended again; doubles each time.
const FIRST_RETRY: Duration = Duration::from_millis(50);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Envelopes in one message of an append stream at most.
const STREAM_MESSAGE_ENVELOPES: usize = 256;

/// Their payloads' bytes at most: far from the limit of a message, whatever else is in it.
const STREAM_MESSAGE_BYTES: usize = 1024 * 1024;

/// Whose checkpoints are believed.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "made once a connection")]
pub enum Trust {
    /// Those of this key, which came from elsewhere.
    Key(VerifierKey),
    /// Those of the key that the ledger names when first asked. It protects from a change of key
    /// later, not from a wrong ledger now.
    FirstUse,
}

/// The durable head, as the ledger states and signs it.
#[derive(Debug, Clone)]
pub struct Head {
    /// Events in the log.
    pub size: TreeSize,
    /// Chain hash of the last event.
    pub chain: ChainHash,
    /// The checked checkpoint; absent while the ledger is empty.
    pub checkpoint: Option<VerifiedCheckpoint>,
}

/// What a question about lineage starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineageStart {
    /// All data of this URI.
    DataUri(String),
    /// All tasks whose intent has this value of the label `wf.task`.
    TaskLabel(String),
    /// One task.
    Task(EnvelopeId),
}

/// Which state of the ledger answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The head, once it holds at least so many events: to read one's own write.
    AtLeast(TreeSize),
    /// The state at an earlier moment.
    AsOf(AsOf),
}

impl When {
    /// The head as it is.
    pub const HEAD: Self = Self::AtLeast(TreeSize::ZERO);

    pub(crate) fn on_wire(self) -> (Option<AtLeast>, Option<v1::AsOf>) {
        match self {
            Self::AtLeast(size) => (at_least_size(size), None),
            Self::AsOf(as_of) => (None, wire_moment(Some(as_of))),
        }
    }
}

impl From<TreeSize> for When {
    fn from(size: TreeSize) -> Self {
        Self::AtLeast(size)
    }
}

impl From<Option<AsOf>> for When {
    fn from(as_of: Option<AsOf>) -> Self {
        as_of.map_or(Self::HEAD, Self::AsOf)
    }
}

/// Which workflow is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkflowOf {
    /// All intents of a trace.
    Trace(TraceId),
    /// The trace of this intent, or without one the intent alone.
    Intent(EnvelopeId),
}

/// Cuts envelopes into what goes into one message each.
fn messages(envelopes: &[SignedEnvelope]) -> impl Iterator<Item = &[SignedEnvelope]> {
    let mut rest = envelopes;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(STREAM_MESSAGE_ENVELOPES).take_while(|signed| {
            bytes += signed.payload.len();
            bytes <= STREAM_MESSAGE_BYTES
        });
        // One that is larger than that goes alone.
        let (message, behind) = rest.split_at(fits.count().max(1).min(rest.len()));
        rest = behind;
        (!message.is_empty()).then_some(message)
    })
}

/// A connection to a ledger. Cloning shares it.
#[derive(Clone)]
pub struct Client {
    pub(crate) ledger: LedgerClient<Channel>,
    pub(crate) proofs: ProofsClient<Channel>,
    pub(crate) query: QueryClient<Channel>,
    pub(crate) provenance: ProvenanceClient<Channel>,
    pub(crate) replication: ReplicationClient<Channel>,
    pub(crate) projections: ProjectionsClient<Channel>,
    origin: Origin,
    log_key: VerifierKey,
    largest_tree: Arc<Mutex<Option<(TreeSize, Hash)>>>,
}

impl Client {
    /// Connects and learns the ledger's origin.
    ///
    /// # Errors
    /// [`ConnectError`] when nobody answers, or another ledger does.
    pub async fn connect(url: &str, trust: Trust) -> Result<Self, ConnectError> {
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|_| ConnectError::Url { url: url.to_owned() })?
            .connect_timeout(CONNECT_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES)
            .tcp_nodelay(true);
        let transport = |source| ConnectError::Transport { url: url.to_owned(), source };
        let channel = endpoint.connect().await.map_err(transport)?;
        let mut ledger =
            LedgerClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let head = ledger.get_head(GetHeadRequest {}).await.map_err(Error::from)?.into_inner();
        let shape = |field| ConnectError::Ledger(BadAnswer::Shape(field).into());
        let origin = Origin::new(head.origin).map_err(|_| shape("origin"))?;
        let said: VerifierKey = head.log_key.parse().map_err(|_| shape("log_key"))?;
        let log_key = match trust {
            Trust::FirstUse => said,
            Trust::Key(trusted) if trusted == said => trusted,
            Trust::Key(trusted) => {
                let (said, trusted) = (said.to_string(), trusted.to_string());
                return Err(ConnectError::OtherKey { said, trusted });
            }
        };
        Ok(Self {
            ledger,
            proofs: ProofsClient::new(channel.clone()),
            replication: ReplicationClient::new(channel.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
            projections: ProjectionsClient::new(channel.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
            provenance: ProvenanceClient::new(channel.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
            query: QueryClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES),
            origin,
            log_key,
            largest_tree: Arc::default(),
        })
    }

    /// The ledger's name.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The key whose checkpoints are believed.
    pub fn log_key(&self) -> &VerifierKey {
        &self.log_key
    }

    /// An author on this ledger.
    pub fn author(&self, key: AgentKey) -> Author {
        Author::new(self.clone(), key)
    }

    /// Appends a signed envelope once.
    ///
    /// # Errors
    /// [`Error`]; after [`Error::Unreachable`] the envelope may be in the log.
    pub async fn append(&self, signed: &SignedEnvelope) -> Result<Receipt, Error> {
        let request = AppendRequest { envelope: Some(signed.clone().into()) };
        let response = self.ledger.clone().append(request).await?.into_inner();
        self.check(LogReceipt::read(response, signed)?)
    }

    /// Appends a signed envelope again and again while its outcome is unknown.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Unreachable`] after `tries`.
    pub async fn append_until_settled(
        &self,
        signed: &SignedEnvelope,
        tries: u32,
    ) -> Result<Receipt, Error> {
        let mut wait = FIRST_RETRY;
        for _ in 1..tries {
            match self.append(signed).await {
                Err(Error::Unreachable(cause)) => {
                    tracing::debug!(%cause, ?wait, "the outcome is unknown; appending again");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                settled => return settled,
            }
        }
        self.append(signed).await
    }

    /// Appends many envelopes over one stream; the answers come one by one, in their order.
    ///
    /// # Errors
    /// [`Error`] when there is no stream; what was sent already may be in the log.
    pub async fn append_stream(&self, envelopes: Vec<SignedEnvelope>) -> Result<Appends, Error> {
        let envelope = |signed: &SignedEnvelope| signed.clone().into();
        let request = |some: &[SignedEnvelope]| {
            AppendStreamRequest::from(some.iter().map(envelope).collect::<Vec<_>>())
        };
        let requests: Vec<_> = messages(&envelopes).map(request).collect();
        let requests = tokio_stream::iter(requests);
        let answers = self.ledger.clone().append_stream(requests).await?.into_inner();
        Ok(Appends::new(self.clone(), answers, envelopes))
    }

    /// Appends many envelopes over one stream and waits for all answers, which come in their order.
    ///
    /// # Errors
    /// [`Error`] when the stream breaks; what is unanswered then may be in the log. To keep the
    /// receipts that came before, use [`Client::append_stream`].
    pub async fn append_all(
        &self,
        envelopes: Vec<SignedEnvelope>,
    ) -> Result<Vec<Result<Receipt, Error>>, Error> {
        let mut settled = Vec::with_capacity(envelopes.len());
        let mut answers = self.append_stream(envelopes).await?;
        while let Some(answer) = answers.next().await? {
            settled.push(answer);
        }
        Ok(settled)
    }

    /// Checks a receipt, and that the ledger never shows two trees of one size.
    pub(crate) fn check(&self, receipt: LogReceipt) -> Result<Receipt, Error> {
        let receipt = Receipt::check(receipt, &self.log_key, &self.origin)?;
        self.remember(receipt.checkpoint())?;
        Ok(receipt)
    }

    fn remember(&self, checkpoint: &VerifiedCheckpoint) -> Result<(), Error> {
        let (size, root) = (checkpoint.size(), checkpoint.root());
        let mut largest = self.largest_tree.lock().expect("no holder of the lock panics");
        match *largest {
            Some((known, other)) if known == size && other != root => Err(Error::Fork { size }),
            Some((known, _)) if known >= size => Ok(()),
            _ => {
                *largest = Some((size, root));
                Ok(())
            }
        }
    }

    /// The log receipt of an event that is in the log, under the present head.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Rejected`] when the event is not there.
    pub async fn receipt(&self, event: get_log_receipt_request::Event) -> Result<Receipt, Error> {
        let request = GetLogReceiptRequest { event: Some(event) };
        let response = self.proofs.clone().get_log_receipt(request).await?.into_inner();
        self.check(LogReceipt::try_from(response)?)
    }

    /// The log receipt of the event at a position.
    ///
    /// # Errors
    /// As [`Client::receipt`].
    pub async fn receipt_at(&self, position: Position) -> Result<Receipt, Error> {
        self.receipt(get_log_receipt_request::Event::Position(position.0)).await
    }

    /// The log receipt of an envelope.
    ///
    /// # Errors
    /// As [`Client::receipt`].
    pub async fn receipt_of(&self, id: &EnvelopeId) -> Result<Receipt, Error> {
        self.receipt(get_log_receipt_request::Event::EnvelopeId(id.0.to_vec())).await
    }

    /// The durable head, with its checkpoint checked.
    ///
    /// # Errors
    /// [`Error`]; [`Error::BadReceipt`] when the checkpoint is not signed by the trusted key.
    pub async fn head(&self) -> Result<Head, Error> {
        let head = self.ledger.clone().get_head(GetHeadRequest {}).await?.into_inner();
        let chain = head.chain.as_slice().try_into().map(ChainHash);
        let checkpoint = if head.checkpoint.is_empty() {
            None
        } else {
            let checkpoint = self.open(&head.checkpoint)?;
            self.remember(&checkpoint)?;
            Some(checkpoint)
        };
        Ok(Head {
            size: TreeSize::new(head.size),
            chain: chain.map_err(|_| BadAnswer::Shape("head.chain"))?,
            checkpoint,
        })
    }

    fn open(&self, note: &[u8]) -> Result<VerifiedCheckpoint, BadReceipt> {
        let signed = SignedCheckpoint::parse(note).map_err(|_| BadReceipt::Shape("checkpoint"))?;
        signed
            .open(std::slice::from_ref(&self.log_key), &self.origin)
            .map_err(|cause| tally_tlog::LogProofVerifyError::Checkpoint(cause).into())
    }

    /// How many events there were at a moment, by the recorded times of events whose receipts are
    /// checked; a size is taken at its word.
    ///
    /// # Errors
    /// As [`Client::head`] and [`Client::receipt`].
    pub async fn size_as_of(&self, as_of: AsOf) -> Result<TreeSize, Error> {
        let mut search = match as_of {
            AsOf::Size(size) => return Ok(size),
            AsOf::Time(time) => TimeSearch::new(time, self.head().await?.size),
        };
        loop {
            match search.step() {
                TimeStep::Ask(position) => {
                    search.decide(self.receipt_at(position).await?.event().recorded_at());
                }
                TimeStep::Found(size) => return Ok(size),
            }
        }
    }

    /// Follows the log from a position on, without an end.
    ///
    /// # Errors
    /// [`Error::Rejected`] when the position lies beyond the head.
    pub async fn subscribe(&self, from: Position) -> Result<Subscription, Error> {
        self.follow(from, self.chain_before(from)).await
    }

    /// Follows the log from a position on, behind events of which the last has this chain hash.
    pub(crate) async fn continue_from(
        &self,
        from: Position,
        chain: ChainHash,
    ) -> Result<Subscription, Error> {
        self.follow(from, Some(chain)).await
    }

    async fn follow(
        &self,
        from: Position,
        chain: Option<ChainHash>,
    ) -> Result<Subscription, Error> {
        let request = SubscribeRequest { from: from.0 };
        let batches = self.ledger.clone().subscribe(request).await?.into_inner();
        Ok(Subscription::new(batches, from, chain))
    }

    /// Reads the log from a position up to another, or to the head.
    ///
    /// # Errors
    /// [`Error::Rejected`] when the position lies beyond the head.
    pub async fn read(&self, from: Position, to: Option<Position>) -> Result<Subscription, Error> {
        let request = ReadEventsRequest { from: from.0, to: to.map_or(0, |to| to.0) };
        let batches = self.ledger.clone().read_events(request).await?.into_inner();
        Ok(Subscription::new(batches, from, self.chain_before(from)))
    }

    /// The chain begins with the origin; further on, the first event is taken at its word.
    fn chain_before(&self, from: Position) -> Option<ChainHash> {
        (from == Position(0)).then(|| ChainHash::genesis(&self.origin))
    }

    /// Where an author's chain stands.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn agent(&self, agent: &AgentId) -> Result<AgentView, Error> {
        let agent = agent.as_bytes().to_vec();
        let request = GetAgentRequest { agent, at_least: None, as_of: None };
        Ok(self.query.clone().get_agent(request).await?.into_inner().try_into()?)
    }

    /// Searches the catalog, in a fold of at least so many events.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn catalog(
        &self,
        criteria: &Discover,
        scope: &Scope,
        when: impl Into<When>,
    ) -> Result<CatalogView, Error> {
        let (at_least, as_of) = when.into().on_wire();
        let request = SearchCatalogRequest {
            criteria: Some(criteria.to_wire()),
            at_least,
            as_of,
            searcher: scope.searcher.map(|agent| agent.as_bytes().to_vec()).unwrap_or_default(),
            capability: scope.capability.map(|id| id.0.to_vec()).unwrap_or_default(),
        };
        Ok(self.query.clone().search_catalog(request).await?.into_inner().try_into()?)
    }

    /// Intents, newest first, with the tree size the answer is as of.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn intents(
        &self,
        selector: Selector,
        when: impl Into<When>,
    ) -> Result<(u64, Vec<IntentView>), Error> {
        let (at_least, as_of) = when.into().on_wire();
        let request = ListIntentsRequest { selector: Some(selector.into()), at_least, as_of };
        let answer = self.query.clone().list_intents(request).await?.into_inner();
        let intents = answer.intents.into_iter().map(TryInto::try_into);
        Ok((answer.as_of, intents.collect::<Result<_, BadAnswer>>()?))
    }

    /// Tasks, newest first, with the tree size the answer is as of.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn tasks(
        &self,
        selector: Selector,
        when: impl Into<When>,
    ) -> Result<(u64, Vec<TaskView>), Error> {
        let (at_least, as_of) = when.into().on_wire();
        let request = ListTasksRequest { selector: Some(selector.into()), at_least, as_of };
        let answer = self.query.clone().list_tasks(request).await?.into_inner();
        let tasks = answer.tasks.into_iter().map(TryInto::try_into);
        Ok((answer.as_of, tasks.collect::<Result<_, BadAnswer>>()?))
    }

    /// The coordination graph of a workflow, by its trace or by one of its intents.
    ///
    /// # Errors
    /// [`Error::Rejected`] when there is no such intent.
    pub async fn workflow(&self, of: WorkflowOf, when: impl Into<When>) -> Result<Workflow, Error> {
        let workflow = Some(match of {
            WorkflowOf::Trace(trace) => WireWorkflow::TraceId(trace.0.to_vec()),
            WorkflowOf::Intent(intent) => WireWorkflow::Intent(intent.0.to_vec()),
        });
        let (at_least, as_of) = when.into().on_wire();
        let request = GetWorkflowRequest { workflow, at_least, as_of };
        let answer = self.query.clone().get_workflow(request).await?.into_inner();
        serde_json::from_str(&answer.json).map_err(|_| BadAnswer::Shape("workflow.json").into())
    }

    /// Open negotiations and running tasks that the policies in force do not allow.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn compliance(&self, when: impl Into<When>) -> Result<ComplianceView, Error> {
        let (at_least, as_of) = when.into().on_wire();
        let request = GetComplianceRequest { at_least, as_of };
        Ok(self.query.clone().get_compliance(request).await?.into_inner().try_into()?)
    }

    /// What the log shows against somebody, or against this agent.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn findings(
        &self,
        agent: Option<&AgentId>,
        when: impl Into<When>,
    ) -> Result<FindingsView, Error> {
        let (at_least, as_of) = when.into().on_wire();
        let agent = agent.map(|agent| agent.as_bytes().to_vec()).unwrap_or_default();
        let request = ListFindingsRequest { agent, at_least, as_of };
        Ok(self.query.clone().list_findings(request).await?.into_inner().try_into()?)
    }

    /// What data or a task came from, or what came of it, at a moment or as of the head.
    ///
    /// # Errors
    /// [`Error::Rejected`] when nothing of that name is in the ledger, or the moment lies beyond
    /// the head.
    pub async fn lineage(
        &self,
        start: LineageStart,
        question: &LineageQuestion,
        as_of: Option<AsOf>,
    ) -> Result<GetLineageResponse, Error> {
        let start = match start {
            LineageStart::DataUri(uri) => WireStart::DataUri(uri),
            LineageStart::TaskLabel(label) => WireStart::TaskLabel(label),
            LineageStart::Task(id) => WireStart::Task(id.0.to_vec()),
        };
        let mut request = lineage_request(start, question);
        request.as_of = wire_moment(as_of);
        Ok(self.query.clone().get_lineage(request).await?.into_inner())
    }
}

pub(crate) fn at_least_size(size: TreeSize) -> Option<AtLeast> {
    (size > TreeSize::ZERO).then(|| AtLeast { size: size.as_u64() })
}
