//! Work on all cores whose results are wanted in order, in constant memory.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// Pieces of work per core that are on their way at once.
const AHEAD: usize = 3;

/// Calls `next` on one thread, `work` on what it gives on as many as there are cores, and `take` on
/// this one with the results in the order of `next`. Ends when `next` has nothing more, or `take`
/// breaks: then what it broke with is returned.
///
/// No more than three pieces a core are held at once.
///
/// # Panics
/// When one of the three does.
pub fn in_order<A: Send, B: Send, T>(
    mut next: impl FnMut() -> Option<A> + Send,
    work: impl Fn(A) -> B + Sync,
    mut take: impl FnMut(B) -> ControlFlow<T>,
) -> Option<T> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (free_to, free) = sync_channel(AHEAD * cores);
    let (begun_to, begun) = sync_channel(cores);
    let (done_to, done) = sync_channel(cores);
    for _ in 0..AHEAD * cores {
        free_to.send(()).expect("there is room for all of them");
    }
    // Only the workers have it: when the last of them has gone, nobody waits for them.
    let begun = Arc::new(Mutex::new(begun));
    let work = &work;
    // All ends of the channels move in, so that they are closed however this thread leaves.
    thread::scope(move |scope| {
        scope.spawn(move || {
            for ticket in 0_u64.. {
                // An end of either means that nobody wants more.
                let (Ok(()), Some(piece)) = (free.recv(), next()) else { return };
                if begun_to.send((ticket, piece)).is_err() {
                    return;
                }
            }
        });
        for _ in 0..cores {
            let (begun, done_to) = (Arc::clone(&begun), done_to.clone());
            scope.spawn(move || {
                while let Some((ticket, piece)) = receive(&begun) {
                    let result = catch_unwind(AssertUnwindSafe(|| work(piece)));
                    if done_to.send((ticket, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop((begun, done_to));
        let mut early = BTreeMap::new();
        let mut turn = 0_u64;
        for (ticket, result) in done {
            early.insert(ticket, result);
            while let Some(result) = early.remove(&turn) {
                turn += 1;
                let result = result.unwrap_or_else(|panic| resume_unwind(panic));
                if let ControlFlow::Break(with) = take(result) {
                    return Some(with);
                }
                // Whoever makes pieces may have gone: there are no more.
                let _gone = free_to.send(());
            }
        }
        None
    })
}

fn receive<T>(from: &Mutex<Receiver<T>>) -> Option<T> {
    from.lock().expect("nobody panics while receiving").recv().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_come_in_order_and_few_are_held_at_once() {
        let (held, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut pieces = 0..500_u64;
        let next = || {
            let piece = pieces.next()?;
            most.fetch_max(held.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            Some(piece)
        };
        let work = |piece: u64| {
            // The first of several takes longest.
            thread::sleep(std::time::Duration::from_micros(300 * (3 - piece % 4)));
            piece
        };
        let mut taken = Vec::new();
        let ended: Option<()> = in_order(next, work, |piece| {
            held.fetch_sub(1, Ordering::SeqCst);
            taken.push(piece);
            ControlFlow::Continue(())
        });
        assert_eq!((ended, taken), (None, (0..500).collect()));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        assert!(most.into_inner() <= AHEAD * cores + 1, "in constant memory");
    }

    #[test]
    fn who_takes_can_end_it() {
        for last in 0..500 {
            let mut pieces = 0_u64..;
            let take = |piece| match piece {
                piece if piece == last => ControlFlow::Break(piece),
                _ => ControlFlow::Continue(()),
            };
            assert_eq!(in_order(|| pieces.next(), |piece| piece, take), Some(last));
        }
    }

    #[test]
    #[should_panic(expected = "the seventh")]
    fn a_panic_at_work_ends_it() {
        let mut pieces = 0_u64..;
        let work = |piece| assert_ne!(piece, 7, "the seventh");
        in_order(|| pieces.next(), work, |()| ControlFlow::<()>::Continue(()));
    }
}
