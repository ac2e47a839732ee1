//! A ledger test is a script and its balances.
//!
//! A line is `WHO VERB …`, optionally with `=> REJECTION` where it must not apply. Lines up to the next `wait`
//! or `off` are one block. At the end, people are checked by their money at hand, deployments by their budget at
//! hand and leases by their escrow, and after a plus by what is held of it.

use crate::world::{self, World, account, credits, delegate, slot, terms};
use grange_ledger::{Action, LeaseState, Rejection};
use grange_types::{Amount, BlobId, DeploymentId, LeaseId, Millis};

#[track_caller]
fn check(script: &str, expected: &str) {
    let mut world = World::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, rejection) = line.split_once("=>").unwrap_or((line, ""));
        let result = run(&mut world, command);
        let outcome = match &result {
            Ok(()) => String::new(),
            Err(rejection) => format!("{rejection:?}").split([' ', '(']).next().unwrap().to_owned(),
        };
        assert_eq!(outcome, rejection.trim(), "{line}: {result:?}");
    }
    world.commit();
    let found: Vec<_> = expected.split(',').map(|part| part.split_whitespace().next().unwrap()).collect();
    let found: Vec<_> = found.iter().map(|name| format!("{name} {}", holding(&world, name))).collect();
    assert_eq!(found.join(", "), expected);
}

fn holding(world: &World, name: &str) -> String {
    let view = world.ledger.view();
    if let Some(id) = world.deployments.get(name) {
        return view.deployment(*id).map_or("gone".into(), |deployment| deployment.balance.to_string());
    }
    if let Some(id) = world.leases.get(name) {
        return view.lease(*id).map_or("gone".into(), |lease| match lease.state {
            LeaseState::Closed { .. } => "closed".into(),
            _ if lease.held.is_zero() => lease.escrow.to_string(),
            _ => format!("{}+{}", lease.escrow, lease.held),
        });
    }
    view.balance(account(name)).to_string()
}

/// The word after a given one.
fn after<'l>(words: &[&'l str], word: &str) -> Option<&'l str> {
    words.iter().position(|here| *here == word).map(|place| words[place + 1])
}

fn amount(words: &[&str], word: &str, default: &str) -> Amount {
    credits(after(words, word).unwrap_or(default))
}

fn span(text: &str) -> Millis {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().unwrap();
    match unit {
        "s" => Millis::seconds(number),
        "m" => Millis::minutes(number),
        "h" => Millis::minutes(60 * number),
        "d" => Millis::minutes(24 * 60 * number),
        _ => panic!("no span: {text}"),
    }
}

fn deployment(world: &World, name: &str) -> DeploymentId {
    world.deployments[name]
}

fn delegates<'l>(words: &[&'l str]) -> Vec<(&'l str, Amount)> {
    let list = after(words, "delegates").unwrap_or_default();
    let parts = list.split(',').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once(':').map(|(who, ceiling)| (who, credits(ceiling))).unwrap()).collect()
}

fn run(world: &mut World, command: &str) -> Result<(), Rejection> {
    let words: Vec<_> = command.split_whitespace().collect();
    match words[..] {
        ["wait", time] => {
            world.wait(span(time));
            Ok(())
        }
        ["off", time] => {
            world.off(span(time));
            Ok(())
        }
        [who, "pays", to, sum] => {
            let action = Action::Transfer { to: account(to), amount: credits(sum), memo: String::new() };
            world.act(who, action).map(drop)
        }
        [who, "bonds", sum] => world.act(who, Action::Bond { amount: credits(sum) }).map(drop),
        [who, "unbonds", sum] => world.act(who, Action::Unbond { amount: credits(sum) }).map(drop),
        [who, "opens", name, ..] => {
            let slots = after(&words, "slots").unwrap_or("1").parse().unwrap();
            let (budget, rate) = (amount(&words, "budget", "10"), amount(&words, "rate", "3600"));
            world.open(who, name, budget, slots, rate, &delegates(&words)).map(drop)
        }
        [who, "funds", name, sum] => {
            let action = Action::FundDeployment { deployment: deployment(world, name), amount: credits(sum) };
            world.act(who, action).map(drop)
        }
        [who, "updates", name, ..] => {
            let numbers = after(&words, "slots").unwrap().split(',').map(|number| number.parse().unwrap());
            let rate = amount(&words, "rate", "3600");
            let action = Action::UpdateDeployment {
                deployment: deployment(world, name),
                manifest: BlobId::of(b"another manifest"),
                slots: numbers.map(|replica| slot(replica, rate)).collect(),
                delegates: delegates(&words).into_iter().map(|(who, ceiling)| delegate(who, ceiling)).collect(),
            };
            world.act(who, action).map(drop)
        }
        [who, "closes", name] => {
            let action = Action::CloseDeployment { deployment: deployment(world, name) };
            world.act(who, action).map(drop)
        }
        [who, "claims", label, "for", name] => {
            let action = Action::ClaimName { name: label.into(), deployment: deployment(world, name) };
            world.act(who, action).map(drop)
        }
        [who, "releases", label] => world.act(who, Action::ReleaseName { name: label.into() }).map(drop),
        [who, "leases", place, ..] => lease(world, who, place, &words),
        [who, "ends", name] => world.act(who, Action::CloseLease { lease: world.leases[name] }).map(drop),
        [who, "renews", name] => world.act(who, Action::RenewLease { lease: world.leases[name] }).map(drop),
        [who, "settles", name, ..] => settle(world, who, name, &words),
        _ => panic!("unknown command: {command}"),
    }
}

/// `alice leases app/0 from north [rate R] [generation G] [replacing L] [as L]`
fn lease(world: &mut World, who: &str, place: &str, words: &[&str]) -> Result<(), Rejection> {
    let (name, number) = place.split_once('/').unwrap();
    let (id, number) = (deployment(world, name), number.parse().unwrap());
    let view = world.ledger.view();
    let present = view.deployment(id).and_then(|deployment| deployment.slot(number)).map_or(0, |slot| slot.generation);
    let generation = after(words, "generation").map_or(present + 1, |text| text.parse().unwrap());
    let operator = after(words, "from").unwrap();
    let terms = terms(operator, amount(words, "rate", "3600"));
    let quote = world.seal(&format!("{operator}.node"), world.quote(id, number, generation, terms));
    let replaces: Option<LeaseId> = after(words, "replacing").map(|name| world.leases[name]);
    let lease = world.lease(who, quote, replaces)?;
    world.leases.insert(after(words, "as").unwrap_or("L").into(), lease);
    Ok(())
}

/// `north settles L by alice served 10s [amount A] [disputed D] [sequence N] [generation G]`
fn settle(world: &mut World, who: &str, name: &str, words: &[&str]) -> Result<(), Rejection> {
    let id = world.leases[name];
    let lease = world.ledger.view().lease(id).unwrap().clone();
    let counters = world::served(span(after(words, "served").unwrap()));
    let cost = lease.terms.prices.charge(&lease.terms.resources, &counters);
    let receipt = grange_types::Receipt {
        lease: id,
        generation: after(words, "generation").map_or(lease.generation, |text| text.parse().unwrap()),
        sequence: after(words, "sequence").map_or(lease.sequence + 1, |text| text.parse().unwrap()),
        counters,
        amount: after(words, "amount").map_or(cost, credits),
        disputed: after(words, "disputed").map_or(Amount::ZERO, credits),
    };
    let receipt = world.seal(after(words, "by").unwrap(), receipt);
    world.settle(who, receipt).map(drop)
}

#[test]
fn transfers_move_money_and_never_more_than_there_is() {
    check("", "alice 1000, bob 1000");
    check("alice pays bob 5", "alice 995, bob 1005");
    check("alice pays nobody 0.000000000001", "alice 999.999999999999, nobody 0.000000000001");
    check("alice pays nobody 1000\nwait 1s\nnobody pays alice 1000", "alice 1000, nobody 0");
    check("alice pays bob 1000.1 => InsufficientBalance", "alice 1000, bob 1000");
    check("nobody pays bob 1 => InsufficientBalance", "bob 1000");
    check("alice pays bob 600\nalice pays bob 600 => InsufficientBalance", "alice 400, bob 1600");
    check("alice pays bob 0 => ZeroAmount\nalice pays alice 1 => ToItself", "alice 1000");
}

#[test]
fn a_deployment_is_an_account_whose_balance_is_its_budget() {
    check("alice opens app budget 100", "alice 900, app 100");
    check("alice opens app budget 100\nwait 1s\nbob funds app 5\nalice closes app", "alice 1005, bob 995, app 0");
    check("alice opens app budget 1001 => InsufficientBalance", "alice 1000");
    check(
        "alice opens app\nbob closes app => NotOwner\nalice closes app\nalice closes app => DeploymentClosed
         alice funds app 1 => DeploymentClosed",
        "alice 1000",
    );
    check("alice opens app slots 0 => SlotsInvalid\nalice opens app slots 257 => SlotsInvalid", "alice 1000");
    check("alice opens app delegates alice:1 => DelegatesInvalid", "alice 1000");
}

#[test]
fn a_lease_sets_aside_an_hour_and_is_paid_by_the_second() {
    // An hour at 3,600 credits is more than there is, so rates are a thousandth: one credit for a thousand seconds.
    let open = "alice opens app budget 100 rate 3.6\nalice leases app/0 from north rate 3.6\nwait 100s\n";
    check(open, "alice 900, app 96.4, L 3.6, north 1000");
    check(&format!("{open} north settles L by alice served 100s"), "app 96.4, L 3.5, north 1000.1");
    check(
        &format!("{open} north settles L by alice served 50s\nwait 1s\nnorth settles L by alice served 100s"),
        "app 96.4, L 3.5, north 1000.1",
    );
    // Ending it returns at once what can no longer be claimed; the claim window's end returns the rest.
    check(&format!("{open} alice ends L\nwait 29s"), "app 99.9, L 0.1, north 1000");
    check(&format!("{open} alice ends L\nwait 30s"), "app 100, L closed, north 1000");
    check(
        &format!("{open} alice ends L\nwait 29s\nnorth settles L by alice served 60s\nwait 1s"),
        "app 99.94, L closed, north 1000.06",
    );
    check(
        &format!("{open} alice ends L\nwait 30s\nnorth settles L by alice served 60s => ClaimsClosed"),
        "app 100, north 1000",
    );
    check(&format!("{open} alice closes app\nwait 30s"), "alice 1000, app 0, L closed");
    check(
        &format!("{open} alice closes app\nwait 1s\nnorth settles L by alice served 100s\nwait 30s"),
        "alice 999.9, app 0, L closed, north 1000.1",
    );
    check(&format!("{open} bob ends L => NotDelegate\nnorth ends L\nnorth ends L => LeaseEnded"), "L 0.1");
}

#[test]
fn a_receipt_pays_what_was_counted_and_no_more() {
    let open = "alice opens app budget 100 rate 3.6\nalice leases app/0 from north rate 3.6\nwait 100s\n";
    let refused = |line: &str| check(&format!("{open} {line}"), "L 3.6, north 1000");
    // More than its counters cost.
    refused("north settles L by alice served 50s amount 0.051 => ReceiptTooHigh");
    refused("north settles L by alice served 50s generation 2 => ReceiptGeneration");
    refused("north settles L by alice served 50s sequence 0 => AlreadySettled");
    refused("north settles L by north served 50s => ReceiptByOperator");
    refused("north settles L by north.node served 50s => ReceiptByOperator");
    refused("north settles L by bob served 50s => ReceiptSigner");
    // Up to the ceiling it pays, whatever the counters say; the rest of it once there is more.
    check(&format!("{open} north settles L by alice served 200s amount 0.1"), "L 3.5, north 1000.1");
    let burst = "north settles L by alice served 200s sequence 5";
    check(&format!("{open} {burst}"), "L 3.5, north 1000.1");
    check(&format!("{open} {burst}\nwait 1s\n{burst}\n{burst} => ReceiptTooHigh"), "L 3.499, north 1000.101");
    check(&format!("{open} {burst}\nwait 200s\n{burst}\n{burst} => AlreadySettled"), "L 3.4, north 1000.2");
    let settled = format!("{open} north settles L by alice served 50s sequence 5\nwait 1s\n");
    let refused = |line: &str| check(&format!("{settled} {line}"), "L 3.55, north 1000.05");
    refused("north settles L by alice served 50s sequence 5 => AlreadySettled");
    refused("north settles L by alice served 50s sequence 4 => ReceiptStale");
    refused("north settles L by alice served 60s amount 0.05 sequence 6 => ReceiptSaysNothing");
    refused("north settles L by alice served 49s sequence 6 => ReceiptBackwards");
    refused("north settles L by alice served 60s amount 0.049 sequence 6 => ReceiptBackwards");
    // The larger amount counts, whatever its number and whatever another receipt counted.
    check(&format!("{settled} north settles L by alice served 60s sequence 4"), "L 3.54, north 1000.06");
    check(&format!("{settled} north settles L by alice served 60s sequence 5"), "L 3.54, north 1000.06");
    // Anyone may hand a receipt in: the payer's word counts, not the messenger.
    check(&format!("{settled} bob settles L by alice served 100s"), "L 3.5, north 1000.1");
}

#[test]
fn delegates_act_within_their_verbs_and_ceilings() {
    let open = "alice opens app budget 500 rate 36 delegates steward:0.5,watcher:0.2
                steward leases app/0 from north rate 36\nwait 100s\n";
    check(&format!("{open} north settles L by steward served 50s"), "L 35.5, north 1000.5");
    check(&format!("{open} north settles L by steward.node served 50s"), "L 35.5, north 1000.5");
    check(&format!("{open} north settles L by steward served 51s => DelegateCeiling"), "L 36, north 1000");
    let spent = format!("{open} north settles L by steward served 50s\nwait 1s\n");
    check(&format!("{spent} north settles L by steward served 51s => DelegateCeiling"), "north 1000.5");
    check(&format!("{spent} north settles L by watcher served 70s"), "north 1000.7");
    check(&format!("{spent} north settles L by watcher served 71s => DelegateCeiling"), "north 1000.5");
    check(&format!("{spent} north settles L by alice served 100s"), "north 1001");
    check(&format!("{open} steward ends L\nwait 30s"), "app 500, L closed");
    check("alice opens app rate 36\nbob leases app/0 from north rate 36 => NotDelegate", "app 10");
    // The next day of block time brings a new ceiling; the day ends within the lease.
    check(
        "alice opens app budget 500 rate 36 delegates steward:0.5\nwait 1h\nsteward leases app/0 from north rate 36
         wait 100s\nnorth settles L by steward served 50s\nwait 45m\nnorth settles L by steward served 100s",
        "app 464, L 35, north 1001",
    );
    // A steward that provides never signs for itself, but its fellow steward does.
    check(
        "alice opens app budget 500 rate 36 delegates steward:0.5,watcher:0.5
         watcher leases app/0 from steward rate 36\nwait 100s
         steward settles L by steward served 10s => ReceiptByOperator
         steward settles L by steward.node served 10s => ReceiptByOperator
         steward settles L by watcher served 10s",
        "steward 1000.1",
    );
}

#[test]
fn of_two_leases_for_one_generation_exactly_one_applies() {
    let open = "alice opens app budget 500 rate 36 slots 2 delegates steward:1\n";
    check(
        &format!(
            "{open} alice leases app/0 from north rate 36 as A
             steward leases app/0 from south rate 36 generation 1 as B => GenerationStale
             steward leases app/0 from south rate 36 generation 2 as B => SlotTaken
             steward leases app/1 from south rate 36 as B"
        ),
        "app 428, A 36, B 36",
    );
    let held = format!("{open} alice leases app/0 from north rate 36 as A\nwait 10s\n");
    check(&format!("{held} alice leases app/0 from south rate 36 as B => SlotTaken"), "app 464, A 36");
    check(
        &format!("{held} alice leases app/0 from south rate 36 replacing A as B\nwait 30s"),
        "app 464, A closed, B 36",
    );
    check(
        &format!("{held} alice leases app/0 from south rate 36 generation 1 replacing A => GenerationStale"),
        "app 464, A 36",
    );
    check(
        &format!(
            "{held} alice ends A\nwait 1s\nalice leases app/0 from south rate 36 replacing A => NotReplaceable
             alice leases app/0 from south rate 36 as B"
        ),
        "app 463.9, A 0.1, B 36",
    );
    // The lease that was replaced is still paid for its time.
    check(
        &format!(
            "{held} steward leases app/0 from south rate 36 replacing A as B\nwait 5s
             north settles A by alice served 10s\nwait 30s"
        ),
        "app 463.9, A closed, B 36, north 1000.1",
    );
}

#[test]
fn a_small_budget_buys_a_short_lease_and_a_smaller_one_none() {
    check(
        "alice opens app budget 0.059 rate 3.6\nalice leases app/0 from north rate 3.6 => BudgetTooLow",
        "alice 999.941, app 0.059",
    );
    check("alice opens app budget 0.06 rate 3.6\nalice leases app/0 from north rate 3.6\nwait 60s", "app 0, L 0.06");
    check(
        "alice opens app budget 0.06 rate 3.6\nalice leases app/0 from north rate 3.6\nwait 60s
         north settles L by alice served 60s\nwait 30s",
        "app 0, L closed, north 1000.06",
    );
    // A whole budget in one lease does not stand in the way of its replacement.
    check(
        "alice opens app budget 1 rate 3.6\nalice leases app/0 from north rate 3.6 as A\nwait 100s
         alice leases app/0 from south rate 3.6 replacing A as B",
        "app 0, A 0.1, B 0.9",
    );
}

#[test]
fn a_quote_must_fit_its_slot_and_come_from_its_provider() {
    let refused = |line: &str| check(&format!("alice opens app budget 100 rate 3.6\n{line}"), "app 100");
    refused("alice leases app/0 from north rate 3.7 => RateTooHigh");
    refused("alice leases app/1 from north rate 3.6 => UnknownSlot");
    refused("alice leases app/0 from bob rate 3.6 => ProviderNotRegistered");
    refused("alice leases app/0 from alice rate 3.6 => OwnCapacityPriced");
    refused("alice leases app/0 from north rate 3.6 generation 2 => GenerationStale");
}

#[test]
fn own_capacity_is_free_and_has_no_end() {
    check(
        "alice opens app budget 100 rate 3.6\nalice leases app/0 from alice rate 0\nwait 3h
         alice renews L => OwnCapacity\nbob settles L by alice served 1s => OwnCapacity\nalice closes app",
        "alice 1000, app 0, L closed",
    );
}

#[test]
fn a_lease_renews_in_its_last_half_until_the_budget_is_used() {
    let open = "alice opens app budget 9 rate 3.6\nalice leases app/0 from north rate 3.6\n";
    check(&format!("{open} wait 29m\nnorth renews L => TooEarlyToRenew"), "app 5.4, L 3.6");
    check(&format!("{open} wait 30m\nnorth renews L\nnorth renews L => TooEarlyToRenew"), "app 1.8, L 7.2");
    check(&format!("{open} wait 30m\nbob renews L => NotDelegate\nalice renews L"), "app 1.8, L 7.2");
    // Without renewal it ends by itself, keeps what was not paid for the claim window, and gives it back.
    check(&format!("{open} wait 1h\nwait 29s"), "app 5.4, L 3.6");
    check(&format!("{open} wait 1h\nwait 30s\nalice renews L => LeaseEnded"), "app 9, L closed");
    // Half an hour is paid, an hour is added; what the money buys beyond is shorter, and then there is nothing.
    check(
        &format!(
            "{open} wait 30m\nnorth settles L by alice served 30m\nnorth renews L\nwait 60m
             north settles L by alice served 90m\nnorth renews L\nwait 50m\nnorth settles L by alice served 140m
             north renews L => BudgetExhausted\nwait 10m\nnorth settles L by alice served 150m\nwait 30s"
        ),
        "alice 991, app 0, L closed, north 1009",
    );
}

#[test]
fn a_lease_that_costs_less_than_it_might_does_not_lock_up_the_budget() {
    // Each hour could cost 3.6 and costs 0.36: after many hours only two hours' worth is set aside.
    let mut script = "alice opens app budget 20 rate 3.6\nalice leases app/0 from north rate 3.6\n".to_owned();
    for hour in 1..=20 {
        script += "wait 50m\n";
        script += &format!("north settles L by alice served {}m\nnorth renews L\nwait 10m\n", hour * 6);
    }
    check(&script, "alice 980, north 1007.2, app 5.36, L 7.44");
}

#[test]
fn a_renewal_takes_nothing_of_what_can_be_paid() {
    // Quiet until the second renewal, which sets free what was not claimed of the first half hour.
    let quiet = "alice opens app budget 100 rate 3.6\nalice leases app/0 from north rate 3.6\nwait 30m\nnorth renews L
                 wait 60m\nnorth settles L by alice served 10m\n";
    let burst = "north settles L by alice served 5000s sequence 9";
    check(&format!("{quiet} {burst}"), "north 1005");
    // Signed before it and handed in after it, it is paid as what can be paid rises; if the lease ends, as far as it rose.
    let renewed = format!("{quiet} north renews L\n{burst}\n");
    check(&renewed, "north 1003.6");
    check(&format!("{renewed} wait 10m\n{burst}"), "north 1004.2");
    check(&format!("{renewed} wait 30m\n{burst}\nwait 1s\n{burst} => AlreadySettled"), "north 1005");
    check(&format!("{renewed} wait 10m\nalice ends L\nwait 10s\n{burst}"), "north 1004.2");
    // What is granted of what was held is granted beside what is earned from then on.
    let disputed =
        format!("{quiet} north renews L\nwait 10m\nnorth settles L by alice served 10m disputed 0.06\nwait 1s\n");
    let granted = format!("{disputed} north settles L by alice served 4261s\n");
    check(&granted, "north 1004.261");
    check(&format!("{granted} wait 9s\nnorth settles L by alice served 4270s"), "north 1004.27");
    // And what is held is not both what was held before and what might have been earned since.
    let slack = "alice opens app budget 100 rate 3.6\nalice leases app/0 from north rate 3.6\nwait 10s\n";
    let again = "north settles L by alice served 0s amount 0 disputed 1";
    check(&format!("{slack} {again}\nwait 1s\n{again}"), "L 3.589+0.011");
}

#[test]
fn twelve_hours_off_cost_nothing_and_end_nothing() {
    let open = "alice opens app budget 100 rate 3.6\nalice leases app/0 from north rate 3.6\nwait 100s\n";
    check(&format!("{open} off 12h"), "app 96.4, L 3.6, north 1000");
    check(&format!("{open} off 12h\nnorth settles L by alice served 101s amount 0.101"), "L 3.5, north 1000.1");
    check(&format!("{open} off 12h\nwait 1s\nnorth settles L by alice served 101s"), "L 3.499, north 1000.101");
    // The claim window, too, waits: 10 seconds of it had passed, 20 are left.
    check(&format!("{open} alice ends L\nwait 10s\noff 12h\nwait 19s"), "app 99.9, L 0.1");
    check(&format!("{open} alice ends L\nwait 10s\noff 12h\nwait 20s"), "app 100, L closed");
    check(&format!("{open} off 12h\nwait 28m\nalice renews L => TooEarlyToRenew"), "L 3.6");
    // A minute is not a pause yet.
    check(&format!("{open} wait 60s\nnorth settles L by alice served 160s"), "L 3.44, north 1000.16");
}

#[test]
fn an_update_keeps_leases_of_slots_that_stay() {
    let open = "alice opens app budget 100 rate 3.6 slots 2\nalice leases app/0 from north rate 3.6 as A
                alice leases app/1 from south rate 3.6 as B\nwait 10s\n";
    check(&format!("{open} alice updates app slots 0,1"), "app 92.8, A 3.6, B 3.6");
    check(&format!("{open} alice updates app slots 1\nwait 30s"), "app 96.4, A closed, B 3.6");
    // A slot that comes anew has a new number.
    check(
        &format!(
            "{open} alice updates app slots 1\nwait 30s\nalice updates app slots 0,1\nwait 1s
             alice leases app/0 from north rate 3.6 => UnknownSlot\nalice leases app/2 from north rate 3.6 as C"
        ),
        "app 92.8, A closed, B 3.6, C 3.6",
    );
    check(&format!("{open} bob updates app slots 1 => NotOwner"), "A 3.6, B 3.6");
}

#[test]
fn names_are_labels_and_belong_to_one_deployment() {
    check(
        "alice opens app\nbob opens app => NameTaken\nbob opens blog\nbob claims app for blog => NameTaken
         bob releases app => NotOwner\nalice releases app\nbob claims app for blog\nwait 1s\nbob closes blog
         alice claims blog for app\nalice releases nothing => UnknownName",
        "alice 990, bob 1000",
    );
    for name in ["", "-a", "a-", "A", "a.b", "ä", &"a".repeat(64)] {
        let mut world = World::new();
        let result = world.open("alice", name, Amount::ZERO, 1, Amount::ZERO, &[]);
        assert!(matches!(result, Err(Rejection::NameInvalid { .. })), "{name}: {result:?}");
    }
    let nine: String = (0..8).map(|number| format!("alice claims n{number} for app\n")).collect();
    check(&format!("alice opens app\n{}", nine.replace("n7 for app", "n7 for app => TooManyNames")), "app 10");
}

#[test]
fn bonds_come_back_after_their_time() {
    check("north bonds 100", "north 900");
    check("north bonds 100\nnorth unbonds 101 => InsufficientBalance\nnorth unbonds 40\nwait 59m", "north 900");
    check("north bonds 100\nnorth unbonds 40\nwait 60m", "north 940");
    check("north bonds 100\nnorth unbonds 40\noff 12h\nwait 59m", "north 900");
    check("bob bonds 100\nbob unbonds 100\nwait 1h", "bob 1000");
}

#[test]
fn what_is_long_closed_is_forgotten() {
    let closed = "alice opens app budget 100 rate 3.6\nalice leases app/0 from north rate 3.6\nwait 100s
                  north settles L by alice served 100s\nalice closes app\nwait 1h\n";
    check(closed, "alice 999.9, app 0, L closed");
    check(&format!("{closed} wait 29d"), "alice 999.9, app 0, L closed");
    check(&format!("{closed} wait 30d\nwait 1m"), "alice 999.9, app gone, L gone");
}

#[test]
fn what_is_disputed_is_held_until_it_is_granted_or_dropped_or_the_claim_window_ends() {
    let open = "alice opens app budget 100 rate 3.6\nalice leases app/0 from north rate 3.6\nwait 100s\n";
    let disputed = format!("{open} north settles L by alice served 60s disputed 0.03\nwait 1s\n");
    // What is granted is paid at once, the rest is set apart from the escrow.
    check(&disputed, "app 96.4, L 3.51+0.03, north 1000.06");
    check(&format!("{disputed} north settles L by alice served 80s disputed 0.01"), "L 3.51+0.01, north 1000.08");
    check(&format!("{disputed} north settles L by alice served 60s"), "L 3.54, north 1000.06");
    let held = format!("{open} north settles L by alice served 60s disputed 0.03 sequence 5\nwait 1s\n");
    // What an older one grants beyond that is disputed no more.
    check(&format!("{held} north settles L by alice served 70s sequence 4"), "L 3.51+0.02, north 1000.07");
    let again = "north settles L by alice served 60s disputed 0.03 sequence 6 => ReceiptSaysNothing";
    check(&format!("{held} {again}"), "L 3.51+0.03");
    check(&format!("{disputed} north settles L by alice served 95s"), "L 3.505, north 1000.095");
    // It outlives the lease, and goes back with the claim window's end.
    check(&format!("{disputed} alice ends L\nwait 29s"), "app 99.869, L 0.041+0.03, north 1000.06");
    check(&format!("{disputed} alice ends L\nwait 30s"), "app 99.94, L closed, north 1000.06");
    let granted = "alice ends L\nwait 20s\nnorth settles L by alice served 90s";
    check(&format!("{disputed} {granted}\nwait 10s"), "app 99.91, L closed, north 1000.09");
    // Nobody can have more held than the lease could have earned, or than a credit window, nor another than a payer say so.
    let longer = format!("{open} wait 100s\nnorth settles L by alice served 60s disputed 50");
    check(&longer, "L 3.48+0.06, north 1000.06");
    check(&format!("{open} north settles L by alice served 60s disputed 50"), "L 3.5+0.04, north 1000.06");
    check(&format!("{open} north settles L by north served 60s disputed 1 => ReceiptByOperator"), "L 3.6");
}

#[test]
fn what_is_disputed_outlives_renewals() {
    let open = "alice opens app budget 100 rate 3.6\nalice leases app/0 from north rate 3.6\nwait 100s\n";
    let disputed = format!("{open} north settles L by alice served 60s disputed 0.04\nwait 40m\n");
    let renewed = format!("{disputed} alice renews L\nwait 50m\nalice renews L\nwait 59m\nalice renews L\nwait 1s\n");
    check(&format!("{renewed} north settles L by alice served 60s amount 0.06 disputed 0.03"), "north 1000.06");
    check(&format!("{renewed} north settles L by alice served 100s amount 0.1"), "north 1000.1");
}
