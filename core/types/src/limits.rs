//! Every maximum, with its arithmetic. Decoders and constructors take their bounds from here.

use crate::unit::{ByteCount, Millis};

/// Roles of one key: owner, node, validator, spend.
pub const ROLES_PER_KEY: usize = 4;
/// Keys of one account: a person's devices and a few services.
pub const KEYS_PER_ACCOUNT: usize = 16;
/// Blocks of one rights token: it is handed on seven times at most.
pub const RIGHTS_BLOCKS: usize = 8;
/// A display name, a region, a service's name, in bytes.
pub const NAME_BYTES: usize = 63;
/// Services of one deployment.
pub const SERVICES: usize = 64;
/// Replicas of one service.
pub const REPLICAS: u32 = 32;
/// Slots of one deployment: services × replicas would be 2,048; a deployment of more than 256 is several.
pub const SLOTS: usize = 256;
/// The path prefix of one slot, in bytes. The transaction that opens a deployment holds one for each of 256 slots, beside a
/// service's name of 63 bytes, a revision of 32 and about 20 more: 54 KiB of its 64.
pub const ROUTE_BYTES: usize = 96;
/// Delegates of one deployment.
pub const DELEGATES: usize = 8;
/// Hosts that one service may call.
pub const ALLOWED_HOSTS: usize = 64;
/// A manifest: 64 services with hosts and environment of 8 KiB each.
pub const MANIFEST_BYTES: usize = 512 << 10;
/// Configs and secrets of one service.
pub const SERVICE_FILES: usize = 64;
/// One config. All of an app's together fit its manifest.
pub const CONFIG_BYTES: usize = 128 << 10;
/// One secret: a key, a certificate with its chain.
pub const SECRET_BYTES: usize = 64 << 10;
/// Where a config or secret lies, in bytes.
pub const TARGET_BYTES: usize = 255;
/// Environment variables of one service.
pub const ENVIRONMENT_ENTRIES: usize = 128;
/// One transaction: the largest opens a deployment with 256 slots of about 160 bytes and 8 delegates.
pub const TRANSACTION_BYTES: usize = 64 << 10;
/// Receipts settled by one transaction: at 266 bytes each, 34 KB.
pub const RECEIPTS: usize = 128;
/// One block's transactions. At 3,000 transactions/s of 250 bytes, one second is 750 KB.
pub const BLOCK_BYTES: usize = 2 << 20;
/// Transactions of one block.
pub const BLOCK_TRANSACTIONS: usize = 8_192;
/// Transactions waiting at one node: about three full blocks.
pub const MEMPOOL_TRANSACTIONS: usize = 24_576;
/// Transactions of one account waiting at one node.
pub const MEMPOOL_PER_ACCOUNT: usize = 256;
/// A transaction's expiry may lie this far ahead; its id is kept no longer.
pub const TRANSACTION_LIFETIME: Millis = Millis::HOUR;
/// Validators of one network. Votes are all-to-all.
pub const VALIDATORS: usize = 128;
/// A message between machines of two peers: a block and its certificate.
pub const MESSAGE_BYTES: usize = BLOCK_BYTES + (64 << 10);
/// A gossiped message: a price sheet is below 2 KiB.
pub const GOSSIP_BYTES: usize = 4 << 10;
/// Offers that one node indexes.
pub const OFFERS: usize = 100_000;
/// A price sheet lives a day.
pub const PRICE_SHEET_LIFETIME: Millis = Millis::DAY;
/// A wasm component.
pub const COMPONENT_BYTES: ByteCount = ByteCount::mib(64);
/// One file of a site.
pub const SITE_FILE_BYTES: ByteCount = ByteCount::mib(64);
/// Files of one site.
pub const SITE_FILES: usize = 10_000;
/// The index of a site: 10,000 files at about 200 bytes.
pub const SITE_INDEX_BYTES: usize = 4 << 20;
/// One blob.
pub const BLOB_BYTES: ByteCount = ByteCount::mib(64);
/// The logs kept for one lease.
pub const LOG_BYTES: ByteCount = ByteCount::mib(4);
/// A key of a key-value store.
pub const KEY_VALUE_KEY_BYTES: usize = 1 << 10;
/// A value of a key-value store.
pub const KEY_VALUE_VALUE_BYTES: usize = 1 << 20;
/// Keys and values of one write, and contents of one page of a copy.
pub const KEEP_PAYLOAD_BYTES: usize = 2 << 20;
/// One request to a keeper, or its answer: contents, with what stands around each of up to 1,024 of them, and two views.
pub const KEEP_BYTES: usize = KEEP_PAYLOAD_BYTES + (512 << 10);
/// Keepers of one replica's key-values: the owner's node and two stewards.
pub const KEEPERS: usize = 3;

/// How much service a provider gives on credit, and so the most that a receipt can have held as disputed: a minute is long
/// enough for two payers to notice that one is gone, and short enough to lose.
pub const CREDIT_WINDOW: crate::Millis = crate::Millis::seconds(60);
