//! All rows in one go: the load is signed first, then each path is measured beside its limit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tally_benches::{FEWEST_SIGNERS, origin};
use tally_growth::Point;
use tally_load::raw::{self, Prepared, SignatureRate};
use tally_load::rpc::Session;
use tally_load::{EmptyServer, Load, Wanted, decode, scratch};

use crate::Failure;
use crate::append::append;
use crate::grpc::{self, Streamed, WINDOW};
use crate::peers::{Compared, Peers, Postgresql};
use crate::read::{Kinds, Replay, verify};
use crate::row::{Measured, Report};

/// Lanes of the large loads, which tasks or streams append side by side.
const LANES: usize = 4;

/// Clients of single appends.
const CLIENTS: usize = 64;

/// Envelopes that are signed for each second of single appends: more than a server takes.
const SINGLE_A_SECOND: f64 = 50_000.0;

/// How long a raw limit is measured, as a share of what a path is.
const RAW_SHARE: f64 = 0.5;

/// How the rows are measured.
#[derive(Debug, Clone)]
pub struct Suite {
    /// How long checking the signatures alone of each load takes: every path takes longer.
    pub seconds: f64,
    /// How often each path and its limit are measured in turn.
    pub runs: usize,
    /// What is compared with, if anything.
    pub peers: Option<Peers>,
    /// The sizes of a ledger that grows, from the smallest, events; without at least two of them
    /// growth is not measured.
    pub growth: Vec<u64>,
}

/// Rows of growth, and what each compares.
type GrowthRow = (&'static str, &'static [fn(&Point) -> f64]);

const GROWTH: [GrowthRow; 5] = [
    ("growth_append", &[|point| point.append_cpu_us]),
    ("growth_proof", &[|point| point.proof_us]),
    ("growth_query", &[|point| point.event_by_id_us, |point| point.object_by_id_us]),
    ("growth_memory", &[|point| point.resident_bytes as f64]),
    ("growth_start", &[|point| point.start_s]),
];

/// Rows of one number of signers.
struct Keys {
    signers: usize,
    append: &'static str,
    stream: &'static str,
    verify: &'static str,
}

const FEW: Keys = Keys {
    signers: 16,
    append: "append_in_process_16",
    stream: "stream_cpu_16",
    verify: "verify_16",
};

const MANY: Keys = Keys {
    signers: 1_000,
    append: "append_in_process_1000",
    stream: "stream_cpu_1000",
    verify: "verify_1000",
};

/// A load and its signatures alone.
struct Ready {
    load: Arc<Load>,
    prepared: Prepared,
}

impl Ready {
    fn new(signers: usize, lanes: usize, envelopes: usize) -> Self {
        let load = Load::sign(&origin(), Wanted { signers, lanes, envelopes, seed: 1 });
        let prepared = Prepared::new(&load);
        Self { load: Arc::new(load), prepared }
    }
}

impl Suite {
    /// Measures all rows. `progress` hears what is being done.
    ///
    /// # Errors
    /// [`Failure`] of the first path that fails.
    pub async fn run(&self, progress: impl Fn(&str)) -> Result<Report, Failure> {
        progress("signing the load");
        let rate = Ready::new(FEW.signers, LANES, 16 * raw::BATCH).prepared;
        let rate = rate.on_all_cores(Duration::from_secs_f64(RAW_SHARE)).per_second;
        let envelopes = (rate * self.seconds) as usize;
        let few = Ready::new(FEW.signers, LANES, envelopes);
        let many = Ready::new(MANY.signers, LANES, envelopes);
        let single = (SINGLE_A_SECOND * self.seconds) as usize;
        let single = Ready::new(CLIENTS * FEWEST_SIGNERS, CLIENTS, single).load;

        let mut report = Report::default();
        for run in 1..=self.runs {
            let say = |what: &str| progress(&format!("run {run} of {}: {what}", self.runs));
            say("16 signers");
            let streamed = self.ledger(&FEW, &few, &mut report).await?;
            say("1,000 signers");
            self.ledger(&MANY, &many, &mut report).await?;
            say("an idle ledger");
            self.idle(&few.prepared, &mut report).await?;
            say("64 clients");
            let unary = grpc::unary(&single, self.time()).await?;
            self.against_peers(&few.load, &unary, &streamed, &mut report)?;
        }
        drop((few, many, single));
        self.grow(&progress, &mut report).await?;
        Ok(report)
    }

    /// The largest ledger against the smallest; of several costs the one that grows most.
    async fn grow(&self, progress: impl Fn(&str), report: &mut Report) -> Result<(), Failure> {
        if self.growth.len() < 2 {
            return Ok(());
        }
        let own = std::env::current_exe().map_err(tally_load::Failure::system("this program"))?;
        let program = own.with_file_name("tally-growth");
        let growth = tally_growth::grow(&program, &self.growth, progress).await?;
        let (first, last) = (growth.points[0], growth.points[growth.points.len() - 1]);
        for (key, costs) in GROWTH {
            let ratios = costs.iter().map(|cost| cost(&last) / cost(&first));
            let raw = json!({ "points": growth.points, "signers": growth.signers });
            report.add(key, Measured { ratio: ratios.fold(0.0, f64::max), raw });
        }
        Ok(())
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    fn raw_time(&self) -> Duration {
        self.time().mul_f64(RAW_SHARE)
    }

    /// The rows that depend on the number of signers, and with few those of replay; what came of the
    /// streams.
    async fn ledger(
        &self,
        keys: &Keys,
        ready: &Ready,
        report: &mut Report,
    ) -> Result<Session, Failure> {
        let directory = scratch()?;
        let data = directory.path().join("data");

        let limit = ready.prepared.on_all_cores(self.raw_time());
        let appended = append(&ready.load, &data).await?;
        let events = ready.load.len() as f64;
        let rate = events / appended.elapsed.as_secs_f64();
        let raw = json!({
            "events": events,
            "events_per_second": rate,
            "parcel": tally_load::node::PARCEL,
            "cpu_us_per_event": us(appended.cpu) / events,
            "projections_behind_at_end_events": appended.lag,
            "raw_signatures": limit,
        });
        report.add(keys.append, Measured { ratio: rate / limit.per_second, raw });

        let limit = ready.prepared.on_all_cores(self.raw_time());
        let streamed = grpc::stream(&ready.load).await?;
        report.add(keys.stream, stream_cpu(&streamed, limit));

        let limit = ready.prepared.on_all_cores(self.raw_time());
        let verified = appended.events as f64 / verify(&data)?.as_secs_f64();
        let raw = json!({
            "events": appended.events,
            "events_per_second": verified,
            "raw_signatures": limit,
        });
        report.add(keys.verify, Measured { ratio: verified / limit.per_second, raw });

        if keys.signers == FEW.signers {
            replay(&data, verified, report).await?;
        }
        Ok(streamed.session)
    }

    /// One append at a time, and what it can't do without.
    async fn idle(&self, signatures: &Prepared, report: &mut Report) -> Result<(), Failure> {
        let load = Ready::new(FEW.signers, 1, (SINGLE_A_SECOND * self.seconds) as usize / 8).load;
        let (directory, server) = (scratch()?, EmptyServer::start()?);
        let time = self.raw_time();
        let fdatasync = raw::fdatasync(directory.path(), time)?;
        let round_trip = raw::round_trip(&server.url, time).await?;
        let session = grpc::unary(&load, self.time()).await?;
        let append = session.latencies.quantile(0.5);
        let verification = signatures.single();
        let limit = fdatasync.mul_f64(1.5) + verification + round_trip;
        let raw = json!({
            "append_us": us(append),
            "append_p99_us": us(session.latencies.quantile(0.99)),
            "fdatasync_us": us(fdatasync),
            "single_verification_us": us(verification),
            "empty_round_trip_us": us(round_trip),
            "limit_us": us(limit),
        });
        report.add("idle_latency", Measured { ratio: us(append) / us(limit), raw });
        Ok(())
    }

    fn against_peers(
        &self,
        load: &Load,
        unary: &Session,
        stream: &Session,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let Some(peers) = &self.peers else { return Ok(()) };
        let directory = scratch()?;
        let payloads = directory.path().join("payloads");
        write_payloads(load, &payloads)?;
        // A scratch directory is closed to others; the one that it is in is not.
        let place = directory.path().parent().expect("a scratch directory is in another");
        let rows = ["unary_against_postgresql", "stream_against_postgresql"];
        let Compared { postgresql, others } = peers.measure(place, &payloads, self.seconds)?;
        for (peer, figures) in others {
            report.peer(peer, figures);
        }
        match postgresql {
            Postgresql::Absent(why) => rows.map(|row| report.absent(row, why.clone())),
            Postgresql::There { single, batches, all } => {
                let compared = |ours: &Session, theirs: f64, clients: Value| Measured {
                    ratio: ours.per_second() / theirs,
                    raw: json!({
                        "events_per_second": ours.per_second(),
                        "latency": ours.latencies.summary(),
                        "load": clients,
                        "postgresql": all,
                    }),
                };
                let signers = CLIENTS * FEWEST_SIGNERS;
                let singly =
                    json!({ "clients": CLIENTS, "connections": CLIENTS, "signers": signers });
                let streams = json!({ "streams": LANES, "window": WINDOW, "signers": FEW.signers });
                let measured =
                    [compared(unary, single, singly), compared(stream, batches, streams)];
                let mut measured = measured.into_iter();
                rows.map(|row| report.add(row, measured.next().expect("one a row")))
            }
        };
        Ok(())
    }
}

fn stream_cpu(streamed: &Streamed, limit: SignatureRate) -> Measured {
    let Streamed { session, cpu, cpu_by_thread } = streamed;
    let events = session.appended as f64;
    let by_thread = cpu_by_thread.iter().map(|(name, spent)| (name.clone(), us(*spent) / events));
    let spent = us(*cpu) / events;
    let raw = json!({
        "events": events,
        "events_per_second": session.per_second(),
        "latency": session.latencies.summary(),
        "server_cpu_us_per_event": spent,
        "server_cpu_us_per_event_by_thread": by_thread.collect::<BTreeMap<_, _>>(),
        "raw_signatures": limit,
    });
    Measured { ratio: spent / limit.cpu_us_per_signature, raw }
}

/// A projection that counts, against reading alone and against verification.
async fn replay(data: &Path, verified: f64, report: &mut Report) -> Result<(), Failure> {
    let replay = Replay::open(data).await?;
    let one = decode::rate(data, 1)?;
    let limit = decode::on_all_cores(data)?;
    let built = replay.build(Kinds::Outlined).await?;
    let decoded = replay.build(Kinds::Decoded).await?;
    replay.close().await;
    let rate = limit.events as f64 / built.elapsed.as_secs_f64();
    let raw = json!({
        "events": limit.events,
        "events_per_second": rate,
        "cpu_us_per_event": us(built.cpu) / limit.events as f64,
        "decoding_each_events_per_second": limit.events as f64 / decoded.elapsed.as_secs_f64(),
        "decoding_each_cpu_us_per_event": us(decoded.cpu) / limit.events as f64,
        "raw_decode_on_one_core": one,
        "raw_decode_on_all_cores": limit,
        "ratio_to_one_core": rate / one.per_second,
    });
    report.add("replay_against_decode", Measured { ratio: rate / limit.per_second, raw });
    let raw = json!({ "events_per_second": rate, "verified_events_per_second": verified });
    report.add("replay_against_verify", Measured { ratio: rate / verified, raw });
    Ok(())
}

fn write_payloads(load: &Load, path: &Path) -> Result<(), Failure> {
    let write = || {
        let mut out = BufWriter::new(File::create(path)?);
        load.write_payloads(&mut out)?;
        out.flush()
    };
    write().map_err(|error| tally_load::Failure::system(path.display().to_string())(error).into())
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
