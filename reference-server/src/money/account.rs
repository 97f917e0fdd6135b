//! One account: a payment channel as the seller sees it.
//!
//! Invariant: `spent ≤ accepted ≤ deposit`, and none of the three ever goes back.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::scheme::Descriptor;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The channel's name, in small letters.
    pub id: String,
    /// Who pays whom, by which key.
    pub descriptor: Descriptor,
    /// Up to where the payer has authorised.
    pub accepted: u64,
    /// The signature of the highest voucher.
    pub signature: String,
    /// What was charged.
    pub spent: u64,
    /// How many items were charged.
    pub units: u64,
    /// What the payer has put in.
    pub deposit: u64,
    /// What was settled at the close.
    pub settled: Option<u64>,
    /// Transactions that were taken into account, each once.
    pub transactions: BTreeSet<String>,
}

/// Why an account does not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is settled.
    Closed,
    /// The amount is above the deposit.
    BeyondDeposit,
    /// The amount is below the highest voucher.
    Lower,
    /// The amount of a close is below what was spent.
    BelowSpent,
}

/// What is missing before the next item can be charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// The amount that must be authorised.
    pub required: u64,
    /// The amount that is.
    pub accepted: u64,
    /// What the payer has put in.
    pub deposit: u64,
}

impl Account {
    /// A voucher for `amount` in all; the same amount again changes nothing.
    ///
    /// # Errors
    /// When the account is settled, the amount is lower than before, or nobody has put that much in.
    pub fn accept(&mut self, amount: u64, signature: &str) -> Result<(), Refused> {
        if self.settled.is_some() {
            return Err(Refused::Closed);
        }
        if amount > self.deposit {
            return Err(Refused::BeyondDeposit);
        }
        if amount < self.accepted {
            return Err(Refused::Lower);
        }
        if amount > self.accepted {
            self.accepted = amount;
            signature.clone_into(&mut self.signature);
        }
        Ok(())
    }

    /// Whether one more item of this price is covered.
    ///
    /// # Errors
    /// What is missing.
    pub fn covers(&self, price: u64) -> Result<(), Short> {
        let required = self.spent.saturating_add(price);
        if required > self.accepted || self.settled.is_some() {
            return Err(Short { required, accepted: self.accepted, deposit: self.deposit });
        }
        Ok(())
    }

    /// Charges one item.
    ///
    /// # Errors
    /// What is missing; nothing is charged then.
    pub fn charge(&mut self, price: u64) -> Result<(), Short> {
        self.covers(price)?;
        self.spent += price;
        self.units += 1;
        Ok(())
    }

    /// Adds to the deposit, once for each transaction.
    ///
    /// # Errors
    /// When the account is settled.
    pub fn top_up(&mut self, amount: u64, transaction: &str) -> Result<(), Refused> {
        if self.settled.is_some() {
            return Err(Refused::Closed);
        }
        if self.transactions.insert(transaction.to_owned()) {
            self.deposit = self.deposit.saturating_add(amount);
        }
        Ok(())
    }

    /// Settles what was spent, and nothing more, however much was authorised.
    ///
    /// # Errors
    /// When it is settled already, or the closing voucher does not cover what was spent.
    pub fn close(&mut self, amount: u64, signature: &str) -> Result<u64, Refused> {
        if self.settled.is_some() {
            return Err(Refused::Closed);
        }
        if amount < self.spent {
            return Err(Refused::BelowSpent);
        }
        if amount > self.accepted {
            self.accept(amount, signature)?;
        }
        self.settled = Some(self.spent);
        Ok(self.spent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account {
            id: "0xa".to_owned(),
            descriptor: Descriptor::default(),
            accepted: 1,
            signature: "s1".to_owned(),
            spent: 0,
            units: 0,
            deposit: 5,
            settled: None,
            transactions: BTreeSet::new(),
        }
    }

    #[test]
    fn vouchers_go_up_or_change_nothing() {
        let mut account = account();
        account.accept(3, "s3").unwrap();
        assert_eq!(account.accept(2, "s2"), Err(Refused::Lower));
        assert_eq!(account.accept(6, "s6"), Err(Refused::BeyondDeposit));
        account.accept(3, "again").unwrap();
        assert_eq!((account.accepted, account.signature.as_str()), (3, "s3"));
    }

    #[test]
    fn an_item_is_charged_when_it_is_covered() {
        let mut account = account();
        account.charge(1).unwrap();
        assert_eq!(account.charge(1), Err(Short { required: 2, accepted: 1, deposit: 5 }));
        assert_eq!((account.spent, account.units), (1, 1));
    }

    #[test]
    fn a_top_up_counts_once() {
        let mut account = account();
        account.top_up(4, "t").unwrap();
        account.top_up(4, "t").unwrap();
        assert_eq!(account.deposit, 9);
    }

    #[test]
    fn closing_settles_what_was_spent_and_ends_everything() {
        let mut account = account();
        account.accept(4, "s4").unwrap();
        account.charge(1).unwrap();
        account.charge(1).unwrap();
        assert_eq!(account.close(1, "s1"), Err(Refused::BelowSpent));
        assert_eq!(account.close(4, "s4"), Ok(2));
        assert_eq!(account.close(4, "s4"), Err(Refused::Closed));
        assert_eq!(account.accept(5, "s5"), Err(Refused::Closed));
        assert!(account.charge(1).is_err());
        assert_eq!(account.top_up(1, "t"), Err(Refused::Closed));
    }
}
