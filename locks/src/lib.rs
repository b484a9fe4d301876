//! Locks of a rank.
//!
//! Who holds a lock may take those of a higher rank and no others; a debug build sees that and ends the thread that does
//! otherwise. So two threads never wait for each other. None is held across a wait, and each is short: what it guards is
//! changed as a whole, so a thread that panicked while it held one has left nothing half done.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Under these no other is taken.
pub const LEAF: u8 = 255;

/// A lock of a rank.
#[derive(Default)]
pub struct Lock<T, const RANK: u8>(Mutex<T>);

/// A lock under which no other is taken.
pub type Leaf<T> = Lock<T, LEAF>;

/// What a lock guards, until dropped.
pub struct Locked<'a, T> {
    guard: MutexGuard<'a, T>,
    #[cfg(debug_assertions)]
    _held: order::RankGuard,
}

impl<T, const RANK: u8> Lock<T, RANK> {
    /// Guards a value.
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> Locked<'_, T> {
        Locked {
            #[cfg(debug_assertions)]
            _held: order::RankGuard::take(RANK),
            guard: self.0.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl<T: fmt::Debug, const RANK: u8> fmt::Debug for Lock<T, RANK> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// Which locks this thread holds.
#[cfg(debug_assertions)]
mod order {
    use std::cell::RefCell;

    thread_local! {
        static HELD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }

    /// A lock that is held.
    pub(super) struct RankGuard(u8);

    impl RankGuard {
        pub(super) fn take(rank: u8) -> Self {
            HELD.with_borrow_mut(|held| {
                let highest = held.iter().max();
                assert!(
                    highest.is_none_or(|highest| *highest < rank) || std::thread::panicking(),
                    "a lock of rank {rank} is taken under those of {held:?}"
                );
                held.push(rank);
            });
            Self(rank)
        }
    }

    impl Drop for RankGuard {
        fn drop(&mut self) {
            HELD.with_borrow_mut(|held| {
                if let Some(at) = held.iter().rposition(|rank| *rank == self.0) {
                    held.remove(at);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_taken_by_rising_rank_and_given_back_in_any_order() {
        let (low, high) = (Lock::<_, 1>::new(1), Lock::<_, 2>::new(2));
        for _ in 0..2 {
            let first = low.lock();
            let second = high.lock();
            assert_eq!(*first + *second, 3);
            drop(first);
            drop(second);
            assert_eq!(*high.lock(), 2);
        }
    }

    #[test]
    fn a_lock_is_not_taken_under_one_of_the_same_or_a_higher_rank() {
        let (low, high) = (Lock::<_, 1>::new(()), Lock::<_, 2>::new(()));
        let wrong = std::thread::scope(|threads| {
            let wrong = [
                threads.spawn(|| {
                    let _high = high.lock();
                    let _low = low.lock();
                }),
                threads.spawn(|| {
                    let other = Lock::<_, 1>::new(());
                    let _low = low.lock();
                    let _other = other.lock();
                }),
            ];
            wrong.map(|thread| thread.join().is_err())
        });
        assert_eq!(wrong, [true, true]);
        drop(low.lock());
    }
}
