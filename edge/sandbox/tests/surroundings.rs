//! What a component finds around it: a log, and no network but HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use grange_sandbox::{LogStream, ServeError};
use stage::{Stage, ask, get};

/// A component with imports of its own: the text before its handler, and how its module is instantiated.
fn component(imports: &str, module: &str, with: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            {imports}
            (import "wasi:http/types@0.2.0" (instance $types
                (export "incoming-request" (type (sub resource)))
                (export "response-outparam" (type (sub resource)))))
            (alias export $types "incoming-request" (type $request))
            (alias export $types "response-outparam" (type $out))
            (core module $memory (memory (export "memory") 1))
            (core instance $memory (instantiate $memory))
            (alias core export $memory "memory" (core memory $shared))
            {with}
            (core module $m (import "host" "memory" (memory 1)) {module})
            (core instance $i (instantiate $m (with "host" (instance $host))))
            (func $handle (param "request" (own $request)) (param "response-out" (own $out))
                (canon lift (core func $i "handle")))
            (instance $api (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $api)))"#
    );
    wat::parse_str(text).unwrap()
}

#[tokio::test]
async fn sockets_can_be_imported_but_not_made() {
    let imports = r#"
        (import "wasi:sockets/network@0.2.0" (instance $network
            (type $code (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout"
                "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit"
                "address-not-bindable" "address-in-use" "remote-unreachable" "connection-refused" "connection-reset"
                "connection-aborted" "datagram-too-large" "name-unresolvable" "temporary-resolver-failure"
                "permanent-resolver-failure"))
            (export "error-code" (type (eq $code)))
            (type $family (enum "ipv4" "ipv6"))
            (export "ip-address-family" (type (eq $family)))))
        (alias export $network "error-code" (type $code))
        (alias export $network "ip-address-family" (type $family))
        (import "wasi:sockets/tcp@0.2.0" (instance $tcp (export "tcp-socket" (type (sub resource)))))
        (alias export $tcp "tcp-socket" (type $socket))
        (import "wasi:sockets/tcp-create-socket@0.2.0" (instance $create
            (export "error-code" (type $code2 (eq $code)))
            (export "ip-address-family" (type $family2 (eq $family)))
            (export "tcp-socket" (type $socket2 (eq $socket)))
            (export "create-tcp-socket"
                (func (param "address-family" $family2) (result (result (own $socket2) (error $code2)))))))"#;
    let with = r#"
        (core func $create (canon lower (func $create "create-tcp-socket") (memory $shared)))
        (core instance $host (export "memory" (memory $shared)) (export "create" (func $create)))"#;
    // It crashes unless the answer is the error access-denied, and then ends without an answer.
    let module = r#"
        (import "host" "create" (func $create (param i32 i32)))
        (func (export "handle") (param i32 i32)
            (call $create (i32.const 0) (i32.const 16))
            (if (i32.ne (i32.load8_u (i32.const 16)) (i32.const 1)) (then unreachable))
            (if (i32.ne (i32.load8_u (i32.const 20)) (i32.const 1)) (then unreachable)))"#;
    let stage = Stage::new();
    let sandboxes = stage.open();
    let replica = sandboxes.start(stage.component(&component(imports, module, with))).await.unwrap();
    let error = ask(&replica, get("/")).await.unwrap_err();
    assert!(matches!(error, ServeError::Silent), "{error:?}");
}

#[tokio::test]
async fn standard_output_becomes_lines_of_the_log() {
    let imports = r#"
        (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
        (alias export $error "error" (type $error))
        (import "wasi:io/streams@0.2.0" (instance $streams
            (export "output-stream" (type $stream (sub resource)))
            (alias outer 1 $error (type $error1))
            (export "error" (type $error2 (eq $error1)))
            (type $why (variant (case "last-operation-failed" (own $error2)) (case "closed")))
            (export "stream-error" (type $failure (eq $why)))
            (export "[method]output-stream.blocking-write-and-flush"
                (func (param "self" (borrow $stream)) (param "contents" (list u8)) (result (result (error $failure)))))))
        (alias export $streams "output-stream" (type $stream))
        (import "wasi:cli/stdout@0.2.0" (instance $stdout
            (alias outer 1 $stream (type $stream1))
            (export "output-stream" (type $stream2 (eq $stream1)))
            (export "get-stdout" (func (result (own $stream2))))))"#;
    let with = r#"
        (core func $get (canon lower (func $stdout "get-stdout")))
        (core func $write (canon lower
            (func $streams "[method]output-stream.blocking-write-and-flush") (memory $shared)))
        (core instance $host
            (export "memory" (memory $shared)) (export "get" (func $get)) (export "write" (func $write)))"#;
    let module = r#"
        (import "host" "get" (func $get (result i32)))
        (import "host" "write" (func $write (param i32 i32 i32 i32)))
        (data (i32.const 100) "first line\nsecond")
        (func (export "handle") (param i32 i32)
            (call $write (call $get) (i32.const 100) (i32.const 17) (i32.const 16)))"#;
    let stage = Stage::new();
    let sandboxes = stage.open();
    let spec = stage.component(&component(imports, module, with));
    let replica = sandboxes.start(spec.clone()).await.unwrap();
    assert!(matches!(ask(&replica, get("/")).await, Err(ServeError::Silent)));

    let logs = replica.logs();
    logs.wait_after(1).await;
    let lines = logs.read_after(0, 10).unwrap();
    let texts: Vec<_> = lines.iter().map(|line| (line.sequence, line.stream, line.text.as_str())).collect();
    assert_eq!(texts, [(1, LogStream::Out, "first line"), (2, LogStream::Out, "second")]);

    // They stay when the replica is gone.
    drop(replica);
    let later = sandboxes.logs(spec.lease).unwrap().unwrap();
    assert_eq!(later.read_after(1, 10).unwrap()[0].text, "second");
}

#[tokio::test]
async fn the_environment_is_the_specs_and_nothing_of_the_hosts() {
    let imports = r#"
        (import "wasi:cli/environment@0.2.0" (instance $environment
            (export "get-environment" (func (result (list (tuple string string)))))))"#;
    // Memory is handed out once, from a fixed place on; that is all that two short texts need.
    let with = r#"
        (core module $allocator
            (global $next (mut i32) (i32.const 1024))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (global.get $next)
                (global.set $next (i32.add (global.get $next)
                    (i32.and (i32.add (local.get 3) (i32.const 7)) (i32.const -8))))))
        (core instance $allocator (instantiate $allocator))
        (alias core export $allocator "realloc" (core func $realloc))
        (core func $get (canon lower
            (func $environment "get-environment") (memory $shared) (realloc (core func $realloc))))
        (core instance $host (export "memory" (memory $shared)) (export "get" (func $get)))"#;
    // It crashes unless there is exactly one variable, COLOR, with the value blue.
    let module = r#"
        (import "host" "get" (func $get (param i32)))
        (func $expect (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then unreachable)))
        (func (export "handle") (param i32 i32) (local $pair i32)
            (call $get (i32.const 16))
            (call $expect (i32.load (i32.const 20)) (i32.const 1))
            (local.set $pair (i32.load (i32.const 16)))
            (call $expect (i32.load offset=4 (local.get $pair)) (i32.const 5))
            (call $expect (i32.load (i32.load (local.get $pair))) (i32.const 0x4f4c4f43))
            (call $expect (i32.load offset=12 (local.get $pair)) (i32.const 4))
            (call $expect (i32.load (i32.load offset=8 (local.get $pair))) (i32.const 0x65756c62)))"#;
    let stage = Stage::new();
    let sandboxes = stage.open();
    let mut spec = stage.component(&component(imports, module, with));
    let replica = sandboxes.start(spec.clone()).await.unwrap();
    assert!(matches!(ask(&replica, get("/")).await, Err(ServeError::Trapped { .. })), "there is a variable less");

    spec.environment.insert("COLOR".into(), "blue".into());
    let replica = sandboxes.start(spec).await.unwrap();
    let error = ask(&replica, get("/")).await.unwrap_err();
    assert!(matches!(error, ServeError::Silent), "{error:?}");
}
