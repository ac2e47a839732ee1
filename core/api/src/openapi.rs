//! The API as one OpenAPI document, made from the table of operations and the schemas of the types.

use utoipa::ToSchema;
use utoipa::openapi::content::{Content, ContentBuilder};
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{ResponseBuilder, ResponsesBuilder};
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ComponentsBuilder, Info, License, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, Required, Response,
    Schema,
};

use crate::access::AuditLine;
use crate::deployment::{DataLine, DeployDone, DeployPhase, Down, LogLine, NoteLine, Replica, Usage};
use crate::key::{ApiKey, KeyRequest, NewApiKey, RevokedKey};
use crate::ledger::{
    Account, BlockLine, GenesisFile, KeySet, Lease, LedgerHeight, Name, NameRequest, Network, OwnedAccount, PieceLine,
};
use crate::manifest::{DeployRequest, ManifestRequest};
use crate::market::{Offer, PauseRequest, Plan, PriceSettings, Provider, ProviderSettings};
use crate::node::{Invite, InviteRequest, Peer, Status, Token};
use crate::operation::{Answering, Endpoint, Method, Operation, Sending};
use crate::problem::Problem;
use crate::reply::Blob;
use crate::trust::TrustReport;
use crate::wallet::{CapRequest, Caps, HistoryEntry, Submitted, TransferRequest, Wallet};

/// The name of the security scheme.
const SCHEME: &str = "token";

/// The document.
#[must_use]
pub fn openapi() -> OpenApi {
    let mut info = Info::new("Grange node", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "What a user may ask of a node. It listens on the loopback address only; every call carries the token of the \
         0600 file that nodes.json names. Every failure is one Problem."
            .to_owned(),
    );
    let mut license = License::new("MIT OR Apache-2.0");
    license.identifier = Some("MIT OR Apache-2.0".to_owned());
    info.license = Some(license);
    let mut schemas = Schemas::default();
    let mut paths = PathsBuilder::new();
    for operation in Operation::ALL {
        let endpoint = operation.endpoint();
        let item = PathItem::new(http_method(endpoint.method), described(*operation, &endpoint, &mut schemas));
        paths = paths.path(endpoint.path, item);
    }
    for (path, summary) in OPEN_PATHS {
        let text = ResponseBuilder::new().description("It is so.").content("text/plain", text_content()).build();
        let responses = ResponsesBuilder::new().response("200", text);
        let responses = match *path {
            "/readyz" => responses.response("503", schemas.problem("It is not; the reason is in the message.")),
            _ => responses,
        };
        let operation = OperationBuilder::new()
            .operation_id(Some(path.trim_start_matches('/')))
            .summary(Some(*summary))
            .securities(Some([SecurityRequirement::default()]))
            .responses(responses.build());
        paths = paths.path(*path, PathItem::new(HttpMethod::Get, operation));
    }
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(schemas.components()))
        .security(Some([SecurityRequirement::new(SCHEME, Vec::<String>::new())]))
        .build()
}

/// The document as it is committed: indented JSON with a line end.
#[must_use]
pub fn openapi_json() -> String {
    // The document is plain data with text keys, which serde_json always can write.
    let mut text = openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// The header in which `/healthz` names the node, so that a port that another one took is not mistaken for it.
pub const PEER_HEADER: &str = "grange-peer";

/// What needs no token: for whoever watches the node from the same machine.
pub const OPEN_PATHS: &[(&str, &str)] = &[
    ("/healthz", "Whether the process answers; the header `grange-peer` names the node."),
    ("/readyz", "Whether the node can do all that its roles promise."),
    ("/metrics", "Counters in the Prometheus text format."),
];

/// The schemas that the paths refer to, collected while they are described.
#[derive(Default)]
struct Schemas {
    found: Vec<(String, RefOr<Schema>)>,
}

impl Schemas {
    fn reference<T: ToSchema>(&mut self) -> RefOr<Schema> {
        self.found.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.found);
        Ref::from_schema_name(T::name()).into()
    }

    fn list<T: ToSchema>(&mut self) -> RefOr<Schema> {
        ArrayBuilder::new().items(self.reference::<T>()).build().into()
    }

    fn problem(&mut self, description: &str) -> Response {
        let content = Content::new(Some(self.reference::<Problem>()));
        ResponseBuilder::new().description(description).content("application/problem+json", content).build()
    }

    fn components(self) -> Components {
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
            "The token of the node's token file, which may do everything, or an API key, which may do what its \
                 scopes say.",
        ));
        ComponentsBuilder::new()
            .schemas_from_iter(self.found)
            .security_scheme(SCHEME, SecurityScheme::Http(token.build()))
            .build()
    }
}

const fn http_method(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::Get,
        Method::Head => HttpMethod::Head,
        Method::Post => HttpMethod::Post,
        Method::Put => HttpMethod::Put,
        Method::Delete => HttpMethod::Delete,
    }
}

fn described(operation: Operation, endpoint: &Endpoint, schemas: &mut Schemas) -> OperationBuilder {
    let mut builder =
        OperationBuilder::new().operation_id(Some(operation.id())).summary(Some(endpoint.summary)).tag(tag(endpoint));
    for name in endpoint.path_parameters() {
        builder = builder.parameter(parameter(name, ParameterIn::Path, path_meaning(operation, name)));
    }
    for (name, meaning) in endpoint.query {
        builder = builder.parameter(parameter(name, ParameterIn::Query, meaning));
    }
    let body = match endpoint.sending {
        Sending::Nothing => None,
        Sending::Json => request_schema(operation, schemas).map(|schema| ("application/json", schema)),
        Sending::Bytes | Sending::Stream => Some(("application/octet-stream", binary_schema())),
    };
    if let Some((media_type, schema)) = body {
        let content = Content::new(Some(schema));
        let body = RequestBodyBuilder::new().content(media_type, content).required(Some(Required::True));
        builder = builder.request_body(Some(body.build()));
    }
    let responses = ResponsesBuilder::new()
        .response("200", answer(operation, endpoint, schemas))
        .response("default", schemas.problem("It failed; the problem says why and what helps."));
    builder.responses(responses.build())
}

/// The first part of the path after the version.
fn tag(endpoint: &Endpoint) -> &'static str {
    endpoint.path.split('/').nth(2).unwrap_or("v1")
}

fn parameter(name: &str, place: ParameterIn, meaning: &str) -> Parameter {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    let schema = match name {
        "follow" => ObjectBuilder::new().schema_type(Type::Boolean),
        "after" | "limit" | "from" | "at" => ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)),
        _ => ObjectBuilder::new().schema_type(Type::String),
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(meaning))
        .schema(Some(schema.build()))
        .build()
}

fn path_meaning(operation: Operation, name: &str) -> &'static str {
    match (operation, name) {
        (Operation::LedgerAccount | Operation::LedgerLease, _) => {
            "64 lower-case hexadecimal digits, or the first eight or more of them where no other one begins so."
        }
        (_, "id") => "64 lower-case hexadecimal digits.",
        (Operation::Deployment | Operation::Down | Operation::Usage | Operation::Logs | Operation::ExportData, _) => {
            "A name of 1 to 63 lower-case letters, digits and dashes; or the deployment's id, or the first eight or more \
             of its digits where no other one begins so."
        }
        _ => "A name of 1 to 63 lower-case letters, digits and dashes.",
    }
}

fn binary_schema() -> RefOr<Schema> {
    let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
    ObjectBuilder::new().schema_type(Type::String).format(Some(format)).build().into()
}

fn text_content() -> Content {
    ContentBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String).build())).build()
}

fn request_schema(operation: Operation, schemas: &mut Schemas) -> Option<RefOr<Schema>> {
    Some(match operation {
        Operation::Plan => schemas.reference::<ManifestRequest>(),
        Operation::Deploy => schemas.reference::<DeployRequest>(),
        Operation::Transfer => schemas.reference::<TransferRequest>(),
        Operation::SetCap => schemas.reference::<CapRequest>(),
        Operation::ClaimName => schemas.reference::<NameRequest>(),
        Operation::SetPrices => schemas.reference::<PriceSettings>(),
        Operation::Pause => schemas.reference::<PauseRequest>(),
        Operation::Invite => schemas.reference::<InviteRequest>(),
        Operation::CreateKey => schemas.reference::<KeyRequest>(),
        _ => return None,
    })
}

fn answer(operation: Operation, endpoint: &Endpoint, schemas: &mut Schemas) -> Response {
    let schema = answer_schema(operation, schemas);
    let builder = ResponseBuilder::new();
    match (endpoint.answering, operation) {
        (Answering::Headers, _) => builder.description("It is there; Content-Length is its size.").build(),
        (Answering::Json, _) => {
            builder.description("Done.").content("application/json", Content::new(Some(schema))).build()
        }
        (Answering::Lines, Operation::Logs | Operation::Audit) => builder
            .description(
                "One line each; server-sent events when followed. A Problem ends a stream that breaks off, and the log of what \
                 was removed while it was followed.",
            )
            .content("application/x-ndjson", Content::new(Some(schema.clone())))
            .content("text/event-stream", Content::new(Some(schema)))
            .build(),
        (Answering::Lines, _) => builder
            .description("One line each. A Problem ends a stream that breaks off.")
            .content("application/x-ndjson", Content::new(Some(schema)))
            .build(),
    }
}

fn answer_schema(operation: Operation, schemas: &mut Schemas) -> RefOr<Schema> {
    match operation {
        Operation::Status => schemas.reference::<Status>(),
        Operation::Peers => schemas.list::<Peer>(),
        Operation::Offers => schemas.list::<Offer>(),
        Operation::Providers => schemas.list::<Provider>(),
        Operation::Trust => schemas.list::<TrustReport>(),
        Operation::Plan => schemas.reference::<Plan>(),
        Operation::PutBlob | Operation::HasBlob => schemas.reference::<Blob>(),
        Operation::Deploy => {
            let lines = [schemas.reference::<DeployPhase>(), schemas.reference::<DeployDone>()];
            lines_or_problem(lines, schemas)
        }
        Operation::Deployments | Operation::Deployment => schemas.list::<Replica>(),
        Operation::Down => schemas.reference::<Down>(),
        Operation::Usage => schemas.reference::<Usage>(),
        Operation::Logs => lines_or_problem([schemas.reference::<LogLine>(), schemas.reference::<NoteLine>()], schemas),
        Operation::ExportData => {
            lines_or_problem([schemas.reference::<DataLine>(), schemas.reference::<NoteLine>()], schemas)
        }
        Operation::Wallet => schemas.reference::<Wallet>(),
        Operation::Caps => schemas.reference::<Caps>(),
        Operation::SetCap
        | Operation::Transfer
        | Operation::SubmitTransaction
        | Operation::ClaimName
        | Operation::ReleaseName => schemas.reference::<Submitted>(),
        Operation::WalletHistory => schemas.list::<HistoryEntry>(),
        Operation::LedgerHeight => schemas.reference::<LedgerHeight>(),
        Operation::LedgerAccount => schemas.reference::<Account>(),
        Operation::LedgerLease => schemas.reference::<Lease>(),
        Operation::LedgerName => schemas.reference::<Name>(),
        Operation::LedgerKey => schemas.list::<OwnedAccount>(),
        Operation::LedgerGenesis => schemas.reference::<GenesisFile>(),
        Operation::LedgerBlocks => lines_or_problem([schemas.reference::<BlockLine>()], schemas),
        Operation::LedgerSnapshot => lines_or_problem([schemas.reference::<PieceLine>()], schemas),
        Operation::Names => schemas.list::<Name>(),
        Operation::SetPrices | Operation::Pause => schemas.reference::<ProviderSettings>(),
        Operation::Keys => schemas.reference::<KeySet>(),
        Operation::RotateToken => schemas.reference::<Token>(),
        Operation::ApiKeys => schemas.list::<ApiKey>(),
        Operation::CreateKey => schemas.reference::<NewApiKey>(),
        Operation::RevokeKey | Operation::RevokeKeys => schemas.list::<RevokedKey>(),
        Operation::Audit => lines_or_problem([schemas.reference::<AuditLine>()], schemas),
        Operation::Network => schemas.reference::<Network>(),
        Operation::Invite => schemas.reference::<Invite>(),
    }
}

fn lines_or_problem<const N: usize>(lines: [RefOr<Schema>; N], schemas: &mut Schemas) -> RefOr<Schema> {
    let one_of = lines.into_iter().fold(OneOfBuilder::new(), OneOfBuilder::item);
    RefOr::T(Schema::OneOf(one_of.item(schemas.reference::<Problem>()).build()))
}
