//! Where the graph's records are: all of them in memory, or the latest and those asked for last,
//! with rows behind them that somebody else keeps.
//!
//! What changed since it was last kept is *fresh* and stays in memory. With rows behind it, the rest
//! is read when it is needed, and a cache of bounded size keeps some of it at hand. Without rows everything
//! stays fresh.
//!
//! A row that cannot be read must not make a wrong answer: the failure is noted, once and for good,
//! everything else reads as if there were nothing, and whoever asked throws the answer away. This
//! module does not do I/O itself, nor know what records mean.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::record::{BLOCK_ITEMS, Block, END, Item, Key, List, Node, NodeIx, Part};
use crate::rows::{GraphFailure, GraphRows, Row};

/// Records of a graph over rows that are kept at hand, where nothing else is called for: bytes of
/// memory, by estimate.
pub const CACHE_BYTES: usize = 96 << 20;

/// Which block of which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BlockId {
    pub(crate) owner: NodeIx,
    pub(crate) part: Part,
    pub(crate) number: u32,
}

/// The owner of lists that belong to the whole graph.
pub(crate) const WHOLE: NodeIx = NodeIx(u32::MAX);

/// By what a node is found: a letter for what it is, and 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Name(pub(crate) [u8; 33]);

/// The records of a graph.
#[derive(Default)]
pub(crate) struct Memory {
    nodes: Table<NodeIx, Arc<Node>, BuildHasherDefault<Spread>>,
    blocks: Table<BlockId, Arc<Block>, BuildHasherDefault<Spread>>,
    /// Authors choose ids: a hash that nobody can foresee.
    names: Table<Name, NodeIx, RandomState>,
    rows: Option<Arc<dyn GraphRows>>,
    failure: OnceLock<Arc<GraphFailure>>,
}

impl Memory {
    /// With rows behind it, of which so many bytes stay at hand: of nodes, of blocks of lists, and
    /// of names, a third each.
    pub(crate) fn over(rows: Arc<dyn GraphRows>, cache_bytes: usize) -> Self {
        let third = cache_bytes / 3;
        Self {
            nodes: Table::new(third),
            blocks: Table::new(third),
            names: Table::new(third),
            rows: Some(rows),
            failure: OnceLock::new(),
        }
    }

    /// Why what was read last is worth nothing.
    pub(crate) fn failure(&self) -> Option<&Arc<GraphFailure>> {
        self.failure.get()
    }

    /// A node; after a failure one that is nothing.
    pub(crate) fn node(&self, node: NodeIx) -> Arc<Node> {
        let found = self.nodes.find(&node, || self.read_known(&node));
        found.unwrap_or_else(|| Arc::new(Node::new(Key::Group, END)))
    }

    /// A node that is about to change.
    pub(crate) fn node_mut(&mut self, node: NodeIx) -> &mut Node {
        let Self { nodes, rows, failure, .. } = self;
        let place = nodes.change(node, || {
            let found = read_known(rows.as_deref(), failure, &node);
            found.unwrap_or_else(|| Arc::new(Node::new(Key::Group, END)))
        });
        Arc::make_mut(place)
    }

    pub(crate) fn add_node(&mut self, index: NodeIx, node: Node) {
        self.nodes.fresh.insert(index, Arc::new(node));
    }

    pub(crate) fn block(&self, id: BlockId) -> Option<Arc<Block>> {
        self.blocks.find(&id, || self.read_known(&id))
    }

    /// A block that is about to change.
    pub(crate) fn block_mut(&mut self, id: BlockId) -> &mut Block {
        let Self { blocks, rows, failure, .. } = self;
        let place = blocks.change(id, || {
            let found = read_known(rows.as_deref(), failure, &id);
            found.unwrap_or_else(|| Arc::new(Block::Members(Vec::new())))
        });
        Arc::make_mut(place)
    }

    pub(crate) fn add_block(&mut self, id: BlockId, block: Block) {
        self.blocks.fresh.insert(id, Arc::new(block));
    }

    /// The node of this name, if there is one.
    pub(crate) fn find(&self, name: &Name) -> Option<NodeIx> {
        self.names.find(name, || read(self.rows.as_deref(), &self.failure, name))
    }

    pub(crate) fn add_name(&mut self, name: Name, node: NodeIx) {
        self.names.fresh.insert(name, node);
    }

    /// A list of a node, from its first item on.
    pub(crate) fn list<T: Item>(&self, node: NodeIx, part: Part) -> Items<'_, T> {
        let (holder, items) = (self.node(node), PhantomData);
        Items { memory: self, owner: node, part, holder, next: 0, block: None, items }
    }

    /// An item of a list.
    pub(crate) fn item<T: Item>(
        &self,
        list: &List<T>,
        (owner, part): (NodeIx, Part),
        index: usize,
    ) -> Option<T> {
        let number = u32::try_from(index / BLOCK_ITEMS).ok()?;
        if number >= list.full {
            return list.rest.get(index - list.full as usize * BLOCK_ITEMS).copied();
        }
        let block = self.block(BlockId { owner, part, number })?;
        self.items_of(&block).get(index % BLOCK_ITEMS).copied()
    }

    /// How many of the first items of a list something holds for.
    pub(crate) fn partition_point<T: Item>(
        &self,
        list: &List<T>,
        owner: (NodeIx, Part),
        holds: impl Fn(&T) -> bool,
    ) -> usize {
        let (mut from, mut to) = (0, list.len());
        while from < to {
            let middle = from + (to - from) / 2;
            match self.item(list, owner, middle) {
                Some(item) if holds(&item) => from = middle + 1,
                _ => to = middle,
            }
        }
        from
    }

    /// The items of a block; none, with the failure noted, where it is of another kind.
    fn items_of<'b, T: Item>(&self, block: &'b Block) -> &'b [T] {
        T::items(block).unwrap_or_else(|| {
            let _known = self.failure.set(Arc::new(GraphFailure::Mixed));
            &[]
        })
    }

    /// The rows of what changed since they were last taken over.
    pub(crate) fn fresh_rows(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + '_ {
        let names = self.names.fresh.iter().map(|(name, node)| row(name, node));
        let nodes = self.nodes.fresh.iter().map(|(index, node)| row(index, node));
        let blocks = self.blocks.fresh.iter().map(|(id, block)| row(id, block));
        names.chain(nodes).chain(blocks)
    }

    /// What changed is in the rows now.
    pub(crate) fn take_over(&mut self) {
        self.names.take_over();
        self.nodes.take_over();
        self.blocks.take_over();
    }

    /// What must be there if anything is.
    fn read_known<K: Row>(&self, key: &K) -> Option<K::Value> {
        read_known(self.rows.as_deref(), &self.failure, key)
    }
}

/// The value of a row, if it is there.
fn read<K: Row>(
    rows: Option<&dyn GraphRows>,
    failure: &OnceLock<Arc<GraphFailure>>,
    key: &K,
) -> Option<K::Value> {
    // Quickly to the end of what is worth nothing.
    let rows = rows.filter(|_| failure.get().is_none())?;
    let found = match rows.get(&key.row_key()) {
        Ok(found) => found?,
        Err(cause) => {
            let _known = failure.set(Arc::new(GraphFailure::Rows(cause)));
            return None;
        }
    };
    let value = K::decode(&found);
    if value.is_none() {
        let _known = failure.set(Arc::new(GraphFailure::Damaged { key: key.row_key() }));
    }
    value
}

fn read_known<K: Row>(
    rows: Option<&dyn GraphRows>,
    failure: &OnceLock<Arc<GraphFailure>>,
    key: &K,
) -> Option<K::Value> {
    let value = read(rows, failure, key);
    if value.is_none() {
        let _known = failure.set(Arc::new(GraphFailure::Missing { key: key.row_key() }));
    }
    value
}

fn row<K: Row>(key: &K, value: &K::Value) -> (Vec<u8>, Vec<u8>) {
    let mut bytes = Vec::with_capacity(K::ROOM);
    K::encode(value, &mut bytes);
    (key.row_key(), bytes)
}

/// A list, item by item. It reads a block when it comes there.
pub(crate) struct Items<'m, T> {
    memory: &'m Memory,
    owner: NodeIx,
    part: Part,
    holder: Arc<Node>,
    next: usize,
    block: Option<(u32, Arc<Block>)>,
    items: PhantomData<T>,
}

impl<T: Item> Items<'_, T> {
    /// Without the first items, for which something holds.
    pub(crate) fn skipping(mut self, holds: impl Fn(&T) -> bool) -> Self {
        if let Some(list) = T::list(&self.holder, self.part) {
            self.next = self.memory.partition_point(list, (self.owner, self.part), holds);
        }
        self
    }
}

impl<T: Item> Iterator for Items<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let Self { memory, owner, part, holder, next, block, .. } = self;
        let list = T::list(holder, *part)?;
        let number = u32::try_from(*next / BLOCK_ITEMS).ok()?;
        let item = if number >= list.full {
            list.rest.get(*next - list.full as usize * BLOCK_ITEMS).copied()
        } else {
            if block.as_ref().is_none_or(|(known, _)| *known != number) {
                let id = BlockId { owner: *owner, part: *part, number };
                *block = Some((number, memory.block(id)?));
            }
            let (_, block) = block.as_ref()?;
            memory.items_of(block).get(*next % BLOCK_ITEMS).copied()
        };
        *next += 1;
        item
    }
}

/// Records of one sort: those that changed since they were kept, and some of the others.
struct Table<K, V, S> {
    fresh: HashMap<K, V, S>,
    cache: Mutex<Cache<K, V, S>>,
}

/// What was needed last, in two generations: what is needed again moves to the younger one, and when
/// that has grown to its half of the cache, the older one is forgotten.
struct Cache<K, V, S> {
    young: HashMap<K, V, S>,
    old: HashMap<K, V, S>,
    /// Bytes of the younger generation, by estimate.
    bytes: usize,
    /// Most bytes of a generation.
    limit: usize,
}

impl<K, V, S> Table<K, V, S>
where
    K: Row<Value = V>,
    V: Clone,
    S: BuildHasher + Default,
{
    fn find(&self, key: &K, read: impl FnOnce() -> Option<V>) -> Option<V> {
        if let Some(value) = self.fresh.get(key) {
            return Some(value.clone());
        }
        if let Some(value) = self.cache().find(key) {
            return Some(value);
        }
        // Not while holding the cache: others go on while this one reads.
        let value = read()?;
        self.cache().insert(*key, value.clone());
        Some(value)
    }

    fn change(&mut self, key: K, read: impl FnOnce() -> V) -> &mut V {
        let Self { fresh, cache } = self;
        fresh.entry(key).or_insert_with(|| {
            let cache = cache.get_mut().unwrap_or_else(PoisonError::into_inner);
            cache.remove(&key).unwrap_or_else(read)
        })
    }

    fn take_over(&mut self) {
        let Self { fresh, cache } = self;
        let cache = cache.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in fresh.drain() {
            cache.insert(key, value);
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache<K, V, S>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V, S> Cache<K, V, S>
where
    K: Row<Value = V>,
    V: Clone,
    S: BuildHasher + Default,
{
    fn find(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let value = self.old.remove(key)?;
        self.insert(*key, value.clone());
        Some(value)
    }

    fn insert(&mut self, key: K, value: V) {
        let bytes = K::weight(&value);
        if self.bytes + bytes > self.limit {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.young.insert(key, value);
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        let young = self.young.remove(key);
        if let Some(value) = &young {
            self.bytes = self.bytes.saturating_sub(K::weight(value));
        }
        young.or_else(|| self.old.remove(key))
    }
}

impl<K, V, S: Default> Table<K, V, S> {
    fn new(cache_bytes: usize) -> Self {
        let (young, old) = (HashMap::default(), HashMap::default());
        let cache = Cache { young, old, bytes: 0, limit: cache_bytes / 2 };
        Self { fresh: HashMap::default(), cache: Mutex::new(cache) }
    }
}

impl<K, V, S: Default> Default for Table<K, V, S> {
    fn default() -> Self {
        Self::new(0)
    }
}

/// A hash of numbers that the graph gives itself: nobody chooses them.
#[derive(Debug, Default, Clone, Copy)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing: 2^64 over the golden ratio.
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number.unsigned_abs() as u64);
    }
}
