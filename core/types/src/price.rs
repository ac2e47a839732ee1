//! What is sold and for how much: resources, classes of isolation, price sheets, and the bill's arithmetic.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::codec::Wire;
use crate::id::{AccountId, PeerId};
use crate::lease::Counters;
use crate::unit::{ByteCount, Time};

/// What one replica of a service may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Resources {
    /// Thousandths of one processor.
    pub cpu_millis: u32,
    /// Memory.
    pub memory: ByteCount,
    /// Disk.
    pub disk: ByteCount,
}

impl Resources {
    /// Whether these suffice for `need`.
    #[must_use]
    pub const fn cover(&self, need: &Self) -> bool {
        self.cpu_millis >= need.cpu_millis && self.memory.0 >= need.memory.0 && self.disk.0 >= need.disk.0
    }

    /// What is left after taking `part`, never below zero.
    #[must_use]
    pub const fn minus(&self, part: &Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_sub(part.cpu_millis),
            memory: ByteCount(self.memory.0.saturating_sub(part.memory.0)),
            disk: ByteCount(self.disk.0.saturating_sub(part.disk.0)),
        }
    }

    /// The sum, capped.
    #[must_use]
    pub const fn plus(&self, part: &Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_add(part.cpu_millis),
            memory: ByteCount(self.memory.0.saturating_add(part.memory.0)),
            disk: ByteCount(self.disk.0.saturating_add(part.disk.0)),
        }
    }
}

/// What separates a workload from its host and its neighbours, from weakest to strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// A wasm component in its own sandbox, or files that no code of the buyer's touches.
    Wasm,
    /// A container under a user-space kernel or a user namespace with seccomp.
    Container,
    /// A micro-VM.
    Vm,
}

/// A kind of work a provider runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A static site.
    Site,
    /// A wasm component with `wasi:http/proxy`.
    Wasm,
}

macro_rules! lowercase_text {
    ($name:ident { $($variant:ident = $text:literal),+ }) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $text),+ })
            }
        }

        impl core::str::FromStr for $name {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err(UnknownWord { known: &[$($text),+] }) }
            }
        }
    };
}
lowercase_text!(Isolation { Wasm = "wasm", Container = "container", Vm = "vm" });
lowercase_text!(Kind { Site = "site", Wasm = "wasm" });

/// A word that is none of a closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {}", .known.join(", "))]
pub struct UnknownWord {
    /// The words there are.
    pub known: &'static [&'static str],
}

/// A place, as its operator names it: lower-case letters, digits and dashes, at most 63 bytes, such as `eu-be-ghent`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(String);

/// A text that is no region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a region is 1 to 63 lower-case letters, digits and dashes, such as eu-be-ghent")]
pub struct RegionError;

impl Region {
    /// The region's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this region is `wanted` or lies in it: `eu-be-ghent` lies in `eu` and in `eu-be`.
    #[must_use]
    pub fn lies_in(&self, wanted: &Self) -> bool {
        match self.0.strip_prefix(wanted.as_str()) {
            Some(rest) => rest.is_empty() || rest.starts_with('-'),
            None => false,
        }
    }
}

impl TryFrom<String> for Region {
    type Error = RegionError;
    fn try_from(text: String) -> Result<Self, RegionError> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.is_empty() || text.len() > crate::limits::NAME_BYTES || !text.bytes().all(legal) {
            return Err(RegionError);
        }
        Ok(Self(text))
    }
}

impl From<Region> for String {
    fn from(region: Region) -> Self {
        region.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A provider's prices. A lease locks them for its whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Prices {
    /// One processor for one hour.
    pub cpu_hour: Amount,
    /// One GiB of memory for one hour.
    pub memory_gib_hour: Amount,
    /// One GiB of disk for one hour.
    pub disk_gib_hour: Amount,
    /// One million requests.
    pub request_million: Amount,
    /// One GiB sent to clients.
    pub egress_gib: Amount,
}

/// A thing that is counted on a bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Sku {
    /// Processor time, in thousandths of a processor × milliseconds.
    #[serde(rename = "cpu.hour")]
    CpuHour,
    /// Memory, in bytes × milliseconds.
    #[serde(rename = "memory.gib-hour")]
    MemoryGibHour,
    /// Disk, in bytes × milliseconds.
    #[serde(rename = "disk.gib-hour")]
    DiskGibHour,
    /// Requests.
    #[serde(rename = "request.million")]
    RequestMillion,
    /// Bytes sent to clients.
    #[serde(rename = "egress.gib")]
    EgressGib,
}

/// Milliseconds of one hour.
const HOUR: u128 = 3_600_000;

impl Sku {
    /// All of them, in the order of a bill.
    pub const ALL: [Self; 5] =
        [Self::CpuHour, Self::MemoryGibHour, Self::DiskGibHour, Self::RequestMillion, Self::EgressGib];

    /// How many counted units one priced unit holds.
    #[must_use]
    pub const fn scale(self) -> u128 {
        match self {
            Self::CpuHour => 1_000 * HOUR,
            Self::MemoryGibHour | Self::DiskGibHour => HOUR << 30,
            Self::RequestMillion => 1_000_000,
            Self::EgressGib => 1 << 30,
        }
    }

    /// The price of one priced unit.
    #[must_use]
    pub const fn price(self, prices: &Prices) -> Amount {
        match self {
            Self::CpuHour => prices.cpu_hour,
            Self::MemoryGibHour => prices.memory_gib_hour,
            Self::DiskGibHour => prices.disk_gib_hour,
            Self::RequestMillion => prices.request_million,
            Self::EgressGib => prices.egress_gib,
        }
    }

    /// How many counted units a replica of these resources with these counters used.
    #[must_use]
    pub fn quantity(self, resources: &Resources, counters: &Counters) -> u128 {
        let served = u128::from(counters.served.0);
        match self {
            Self::CpuHour => u128::from(resources.cpu_millis) * served,
            Self::MemoryGibHour => u128::from(resources.memory.0) * served,
            Self::DiskGibHour => u128::from(resources.disk.0) * served,
            Self::RequestMillion => u128::from(counters.requests),
            Self::EgressGib => u128::from(counters.egress.0),
        }
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::CpuHour => "cpu.hour",
            Self::MemoryGibHour => "memory.gib-hour",
            Self::DiskGibHour => "disk.gib-hour",
            Self::RequestMillion => "request.million",
            Self::EgressGib => "egress.gib",
        })
    }
}

/// One line of a bill: `amount = floor(quantity × price / scale)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageLine {
    /// What was counted.
    pub sku: Sku,
    /// How much, in counted units.
    pub quantity: u128,
    /// The price of one priced unit.
    pub price: Amount,
    /// What it costs.
    pub amount: Amount,
}

impl Prices {
    /// The lines of a bill over cumulative counters, in the order of [`Sku::ALL`].
    #[must_use]
    pub fn lines(&self, resources: &Resources, counters: &Counters) -> [UsageLine; 5] {
        Sku::ALL.map(|sku| {
            let (quantity, price) = (sku.quantity(resources, counters), sku.price(self));
            UsageLine { sku, quantity, price, amount: price.scaled(quantity, sku.scale()) }
        })
    }

    /// What cumulative counters cost: the sum of [`Prices::lines`].
    #[must_use]
    pub fn charge(&self, resources: &Resources, counters: &Counters) -> Amount {
        self.lines(resources, counters).iter().map(|line| line.amount).sum()
    }

    /// What the resources alone cost per hour, without requests and traffic.
    #[must_use]
    pub fn per_hour(&self, resources: &Resources) -> Amount {
        let hour = Counters { served: crate::unit::Millis::HOUR, ..Counters::default() };
        self.charge(resources, &hour)
    }
}

/// What a provider sells, signed by its node key, gossiped, valid for at most a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceSheet {
    /// The node that sells.
    pub provider: PeerId,
    /// The account that is paid, and by which placement counts.
    pub operator: AccountId,
    /// A name for people.
    pub display: String,
    /// Where it stands.
    pub region: Region,
    /// The kinds of work it runs.
    pub kinds: Vec<Kind>,
    /// The strongest isolation it gives.
    pub isolation: Isolation,
    /// Its prices.
    pub prices: Prices,
    /// All it sells.
    pub capacity: Resources,
    /// A later sheet of the same provider has a larger number.
    pub sequence: u64,
    /// When it was made, by the provider's clock.
    pub issued: Time,
}

impl Wire for PriceSheet {
    const NAME: &'static str = "price-sheet";
    const LIMIT: usize = 1 << 10;
}

/// What of a provider's capacity is free now; lapses after minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferDelta {
    /// The node that sells.
    pub provider: PeerId,
    /// What is free.
    pub free: Resources,
    /// Whether it takes no new work.
    pub paused: bool,
    /// A later delta of the same provider has a larger number.
    pub sequence: u64,
}

impl Wire for OfferDelta {
    const NAME: &'static str = "offer-delta";
    const LIMIT: usize = 256;
}
