//! A number that changes, and those who wait for it to. They are woken in an order that only depends on the order in which
//! they came: a registry of which a simulation asks the same must wake its watchers in the same order.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Lists on which those wait who wait, so that thousands of watchers do not all contend for one.
const LISTS: usize = 8;

/// A number that changes, and those who wait for it to.
#[derive(Debug, Default)]
pub struct Bell {
    number: AtomicU64,
    lists: [Notify; LISTS],
    next: AtomicUsize,
}

/// On which list somebody waits.
#[derive(Debug, Clone, Copy)]
pub struct List(usize);

impl Bell {
    /// The number.
    pub fn number(&self) -> u64 {
        // Sequentially consistent here and in `ring`: whoever does not see the new number must be on a list before that is
        // gone through.
        self.number.load(Ordering::SeqCst)
    }

    /// Changes the number and wakes everybody.
    pub fn ring(&self, number: u64) {
        self.number.store(number, Ordering::SeqCst);
        self.lists.iter().for_each(Notify::notify_waiters);
    }

    /// The list on which the next one waits.
    pub fn list(&self) -> List {
        List(self.next.fetch_add(1, Ordering::Relaxed) % LISTS)
    }

    /// Waits on `list` until the number is another one than `seen`, and returns it.
    pub async fn after(&self, List(list): List, seen: u64) -> u64 {
        loop {
            let mut woken = std::pin::pin!(self.lists[list].notified());
            woken.as_mut().enable();
            let number = self.number();
            if number != seen {
                return number;
            }
            woken.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn everybody_is_woken_in_the_order_of_the_lists_and_nobody_for_nothing() {
        let (bell, (sender, mut woken)) = (Arc::new(Bell::default()), tokio::sync::mpsc::unbounded_channel());
        for i in 0..20 {
            let (bell, sender, list) = (Arc::clone(&bell), sender.clone(), bell.list());
            tokio::spawn(async move { sender.send((i, bell.after(list, 0).await)) });
        }
        tokio::task::yield_now().await;
        bell.ring(0);
        tokio::task::yield_now().await;
        assert!(woken.try_recv().is_err());
        bell.ring(7);
        let mut order = Vec::new();
        for _ in 0..20 {
            order.push(woken.recv().await.unwrap());
        }
        let mut expected = (0..20).map(|i| (i, 7)).collect::<Vec<_>>();
        expected.sort_by_key(|(i, _)| i % LISTS);
        assert_eq!(order, expected);
        assert_eq!(bell.after(bell.list(), 0).await, 7, "what has changed before is not waited for");
    }
}
