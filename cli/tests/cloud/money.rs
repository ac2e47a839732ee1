//! What keys may put into deployments, how budgets stand, and the bill as billing tools read it.

use crate::support::{Cloud, text};

#[test]
fn caps_and_budgets_are_shown_and_hold_and_a_bill_is_a_table() {
    let cloud = Cloud::start(2);
    let caps = cloud.json(&["wallet", "caps"]);
    assert_eq!((&caps["per_day"], &caps["set"]), (&serde_json::Value::Null, &false.into()));
    let folder = cloud.guestbook("book", "");
    let first = cloud.json(&["deploy", folder.to_str().unwrap()]);
    assert!(first["notes"][0].as_str().unwrap().contains("`grange wallet caps --per-day` changes it"), "{first}");
    let caps = cloud.json(&["wallet", "caps"]);
    let budget: f64 = caps["deployments"][0]["budget"].as_str().unwrap().parse().unwrap();
    let per_day: f64 = caps["per_day"].as_str().unwrap().parse().unwrap();
    assert_eq!((per_day, caps["deployments"][0]["deployment"].as_str()), (10.0 * budget, Some("book")), "{caps}");
    assert_eq!(caps["keys"][0]["used"], 10, "{caps}");
    assert!(caps["deployments"][0]["runs_until"].is_string(), "{caps}");

    assert!(cloud.json(&["wallet", "caps", "--per-day", "0"])["height"].is_u64());
    let second = cloud.guestbook("second", "");
    let refused = cloud.problem(&["deploy", second.to_str().unwrap()]);
    assert_eq!((&refused["code"], &refused["exit"]), (&"limit-reached".into(), &6.into()), "{refused}");
    assert!(refused["remedy"].as_str().unwrap().contains("grange wallet caps --per-day"), "{refused}");
    cloud.json(&["wallet", "caps", "--per-day", "none"]);
    cloud.json(&["deploy", second.to_str().unwrap()]);
    assert_eq!(cloud.problem(&["wallet", "caps", "--per-day", "much"])["exit"], 2);

    // The ledger gives nothing back while it runs, and people and scripts are told so.
    let compose = folder.join("compose.yaml");
    let lowered = std::fs::read_to_string(&compose).unwrap().replace("budget: \"10\"", "budget: \"4\"");
    std::fs::write(&compose, lowered).unwrap();
    let planned = text(&cloud.run(&["plan", folder.to_str().unwrap()]).stderr);
    assert!(planned.contains("note: book has been given 6 more than the budget of 4: "), "{planned}");
    let done = cloud.json(&["deploy", folder.to_str().unwrap()]);
    assert!(done["notes"][0].as_str().unwrap().contains("`grange down book` returns what is left"), "{done}");

    let usage = cloud.json(&["usage", "book"]);
    assert_eq!(usage["budget"]["budget"].as_str(), caps["deployments"][0]["budget"].as_str());
    assert_eq!(usage["disputed"], "0");
    let table = String::from_utf8(cloud.run(&["usage", "book", "--format", "focus"]).stdout).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("BilledCost,BillingAccountId,"), "{table}");
    assert_eq!(lines.len() - 1, usage["lines"].as_array().unwrap().len(), "{table}\n{usage}");
    assert_eq!(cloud.problem(&["usage", "book", "--format", "focus"])["code"], "usage");
}
