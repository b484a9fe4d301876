//! A limit that many share: places of calls, bytes of messages. What is taken is given back by dropping it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// What a limit is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name {
    /// The reason in `posthorn_grpc_refused_total`.
    pub reason: &'static str,
    /// What the one who is refused hears, before the figure.
    pub text: &'static str,
}

/// A limit, and what of it is taken. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    left: Arc<Semaphore>,
    max: usize,
    name: Name,
}

/// There is not enough left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Short {
    name: Name,
    max: usize,
}

impl Budget {
    /// A limit of which nothing is taken.
    pub(crate) fn new(max: usize, name: Name) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        Self {
            left: Arc::new(Semaphore::new(max)),
            max,
            name,
        }
    }

    /// Takes so much, if there is so much now.
    pub(crate) fn try_take(&self, amount: u32) -> Result<OwnedSemaphorePermit, Short> {
        let taken = Arc::clone(&self.left).try_acquire_many_owned(amount);
        taken.map_err(|_| self.short())
    }

    /// Takes so much when there is so much, each in its turn. What is more than there can ever be is refused at once.
    pub(crate) async fn take(&self, amount: u32) -> Result<OwnedSemaphorePermit, Short> {
        if amount as usize > self.max {
            return Err(self.short());
        }
        let taken = Arc::clone(&self.left).acquire_many_owned(amount).await;
        taken.map_err(|_| self.short())
    }

    /// Whether nothing is left.
    pub(crate) fn is_spent(&self) -> bool {
        self.left.available_permits() == 0
    }

    fn short(&self) -> Short {
        Short {
            name: self.name,
            max: self.max,
        }
    }
}

impl Short {
    /// The reason in the metric.
    pub(crate) fn reason(&self) -> &'static str {
        self.name.reason
    }
}

impl From<Short> for Error {
    fn from(short: Short) -> Self {
        let (text, max) = (short.name.text, short.max);
        Self::Exhausted(format!("{text} ({max}): repeat the call later"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Name = Name {
        reason: "test",
        text: "so much is the limit",
    };

    #[tokio::test]
    async fn what_is_taken_comes_back_and_what_is_too_much_is_refused_by_name() {
        let budget = Budget::new(10, NAME);
        let taken = budget.try_take(10).unwrap();
        let short = budget.try_take(1).unwrap_err();
        assert_eq!(
            Error::from(short).to_string(),
            "so much is the limit (10): repeat the call later"
        );
        assert_eq!(budget.take(11).await.unwrap_err().reason(), "test");
        let clone = budget.clone();
        let waiting = tokio::spawn(async move { clone.take(4).await.is_ok() });
        drop(taken);
        assert!(waiting.await.unwrap());
        assert!(budget.try_take(10).is_ok());
    }
}
