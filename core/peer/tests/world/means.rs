//! What a name or an id leads to, and for whom.

use grange_api::{Call, Problem, ProblemCode, Reply, TransferRequest, Usage};
use grange_types::{AccountId, Amount, IdStart, Millis};

use crate::support::{World, manifest};

/// Every call that takes a deployment, but for those that end it.
fn readers(text: &str) -> [Call; 4] {
    let (name, service) = (text.to_owned(), None);
    [
        Call::Deployment { name: name.clone() },
        Call::Usage { name: name.clone() },
        Call::Logs { name: name.clone(), service: service.clone(), follow: false, after: None, earlier: false },
        Call::ExportData { name, service, earlier: false },
    ]
}

fn lease(start: &str) -> Call {
    Call::LedgerLease { lease: start.parse().unwrap() }
}

fn not_found(answer: Result<Reply, Problem>) -> (String, String) {
    let problem = answer.unwrap_err();
    assert_eq!(problem.code, ProblemCode::NotFound, "{problem:?}");
    (problem.message.replace(&problem.thing, "IT"), problem.remedy)
}

fn usage(answer: Result<Reply, Problem>) -> Usage {
    match answer {
        Ok(Reply::Usage(usage)) => usage,
        other => panic!("{other:?}"),
    }
}

/// The deployment of the replicas that an answer lists.
fn listed(answer: Result<Reply, Problem>) -> String {
    match answer {
        Ok(Reply::Replicas(replicas)) => replicas[0].deployment.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_finds_by_an_id_what_its_name_is_for_and_nothing_else() {
    let mut world = World::new(4);
    world.settle();
    let shop = world.deploy(0, manifest("shop", "10")).unwrap();
    let other = world.deploy(0, manifest("other", "10")).unwrap();
    let whole = |id: &dyn ToString| id.to_string();
    for id in [whole(&shop.id), shop.id.short(), shop.id.to_string()[..8].to_owned()] {
        assert_eq!(listed(world.ask_with(0, "shop", Call::Deployment { name: id.clone() })), "shop");
        assert_eq!(usage(world.ask_with(0, "shop", Call::Usage { name: id })).deployment, shop.id);
    }
    for id in [whole(&shop.leases[0].lease), shop.leases[0].lease.short()] {
        assert!(
            matches!(world.ask_with(0, "shop", lease(&id)), Ok(Reply::Lease(found)) if found.deployment == shop.id)
        );
    }
    // Another's is told from what is not there by nothing: not by its id, not by its beginning, and not where the id itself
    // begins as the names do.
    let nobody = "0123456789".repeat(6) + "0123";
    for (hidden, absent) in [(whole(&other.id), nobody.clone()), (other.id.short(), nobody[..10].to_owned())] {
        for prefix in ["shop", &hidden[..2]] {
            for (call, of_nobody) in readers(&hidden).into_iter().zip(readers(&absent)) {
                let refused = not_found(world.ask_with(0, prefix, call.clone()));
                assert_eq!(refused, not_found(world.ask_with(0, prefix, of_nobody)), "{call:?}");
            }
            let refused = not_found(world.ask_with(0, prefix, Call::Down { name: hidden.clone() }));
            assert_eq!(refused, not_found(world.ask_with(0, prefix, Call::Down { name: absent.clone() })));
        }
    }
    let theirs = whole(&other.leases[0].lease);
    assert_eq!(not_found(world.ask_with(0, "shop", lease(&theirs))), not_found(world.ask(0, lease(&nobody))));
    assert!(world.ask(0, lease(&theirs)).is_ok(), "the owner sees it");
    // Nor past its prefix by the name, whoever let it through.
    not_found(world.ask_with(0, "shop", Call::Deployment { name: "other".into() }));

    let Ok(Reply::Names(names)) = world.ask_with(0, "shop", Call::Names) else { panic!("no names") };
    assert_eq!(names.iter().map(|name| name.name.as_str()).collect::<Vec<_>>(), ["shop"]);
    let Ok(Reply::Replicas(replicas)) = world.ask_with(0, "shop", Call::Deployments) else { panic!("no list") };
    assert!(!replicas.is_empty() && replicas.iter().all(|replica| replica.deployment == "shop"));
    // Nor where logs and data are looked for.
    let table = world.peer(0).routes();
    let found =
        |text: &str, prefix: &str| table.find(text, prefix).unwrap().map(|(name, named)| (name, named.deployment));
    for text in ["shop".to_owned(), shop.id.to_string(), shop.id.short()] {
        assert_eq!(found(&text, "shop"), Some(("shop", shop.id)));
        assert_eq!((found(&text, ""), found(&text, "other")), (Some(("shop", shop.id)), None));
    }
    assert_eq!((found("other", "shop"), found(&other.id.to_string(), &other.id.to_string()[..2])), (None, None));

    // It ends its own by the id, and has the bill of it still.
    let Ok(Reply::Down(down)) = world.ask_with(0, "shop", Call::Down { name: shop.id.short() }) else { panic!("no") };
    assert_eq!(down.deployment, "shop");
    for text in ["shop".to_owned(), shop.id.to_string(), shop.id.short()] {
        assert_eq!(usage(world.ask_with(0, "shop", Call::Usage { name: text })).deployment, shop.id);
    }
    assert!(world.ask_with(0, "shop", lease(&whole(&shop.leases[0].lease))).is_ok());
    not_found(world.ask_with(0, "zz", Call::Usage { name: shop.id.to_string() }));
    let problem = world.ask_with(0, "shop", readers(&shop.id.short())[2].clone()).unwrap_err();
    assert!(problem.message.contains("was removed at"), "{problem:?}");
}

#[test]
fn a_bill_says_that_its_deployment_was_removed_and_when_it_is_final() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    world.run_for(Millis::seconds(30));
    let of = |name: &str| Call::Usage { name: name.into() };
    let there = usage(world.ask(0, of("shop")));
    assert_eq!((there.removed, there.claims_until, there.is_final), (None, None, false));
    world.ask(0, Call::Down { name: "shop".into() }).unwrap();
    let asked = world.now;
    let gone = usage(world.ask(0, of("shop")));
    let (removed, until) = (gone.removed.unwrap().0, gone.claims_until.unwrap().0);
    assert!(asked.since(removed) < Millis::seconds(10) && removed < until, "{gone:?}");
    assert!(!gone.is_final);
    world.run_for(Millis(until.since(world.now).0 + 10_000));
    for index in [0, 1] {
        let last = usage(world.ask(index, of(&done.id.to_string())));
        assert_eq!((last.removed.unwrap().0, last.claims_until, last.is_final), (removed, None, true));
        assert_eq!(last.total, last.settled, "what is final is paid");
    }
}

#[test]
fn the_beginning_of_an_id_is_enough_where_no_other_begins_so() {
    let mut world = World::new(4);
    world.settle();
    let account = |last: u8| {
        let mut bytes = [9; 32];
        bytes[31] = last;
        AccountId(bytes)
    };
    for last in [1, 2] {
        let request = TransferRequest { to: account(last), amount: Amount::CREDIT, memo: String::new() };
        world.ask(0, Call::Transfer(request)).unwrap();
    }
    let of = |start: &str| Call::LedgerAccount { account: start.parse::<IdStart>().unwrap() };
    let problem = world.ask(0, of("0909090909")).unwrap_err();
    assert_eq!((problem.code, problem.thing.as_str()), (ProblemCode::Malformed, "0909090909"));
    assert!(problem.message.contains("any of 2") && problem.remedy.contains("more digits"), "{problem:?}");
    assert!(
        matches!(world.ask(0, of(&account(1).to_string())), Ok(Reply::Account(found)) if found.account == account(1))
    );
    let me = world.peer_id(0).account();
    assert!(matches!(world.ask(0, of(&me.short())), Ok(Reply::Account(found)) if found.account == me));
    not_found(world.ask(0, of("01234567")));

    let trusted = |of: &str| Call::Trust { of: Some(of.to_owned()) };
    let other = world.peer_id(1).account();
    for start in [&other.short(), &other.to_string()[..8]] {
        assert!(matches!(world.ask(0, trusted(start)), Ok(Reply::Trust(found)) if found[0].operator == other));
    }
    not_found(world.ask(0, trusted(&other.to_string()[..7])));
    // A name that nothing has says where names are.
    for call in readers("nope").into_iter().chain([Call::Down { name: "nope".into() }]) {
        assert!(not_found(world.ask(0, call)).1.contains("`grange ps`"));
    }
}
