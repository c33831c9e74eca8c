//! Law 10: what the screen says and what `-o json` says is the same. Pages of the screen's own test
//! worlds are held against the JSON of the same world, value by value. Spaces do not count: pages wrap.

use serde_json::Value;

use crate::{
    cockpit::{
        commands::{self, Risk},
        reviews::dossier,
    },
    documents::{denials, plan::Shown, plan_json, reviews},
    domain::{flow::Direction, names::Text},
    tui::{
        fixture::{self, Player, lead},
        model::Main,
        model::Sheet,
        plan::PlanKey,
    },
};

/// One column of text, and all of it.
const TALL: (u16, u16) = (150, 200);

fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Every value stands on the page. What is `null` or empty is not asked for.
fn holds(page: &str, values: &[&Value]) {
    let squeezed_page = squeezed(page);
    for value in values {
        let texts: Vec<String> = match value {
            Value::Null => Vec::new(),
            Value::String(text) => vec![text.clone()],
            Value::Array(all) => all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
            other => vec![other.to_string()],
        };
        for text in texts.iter().filter(|text| !text.is_empty()) {
            assert!(squeezed_page.contains(&squeezed(text)), "{text:?} is not on\n{page}");
        }
    }
}

#[test]
fn denials_on_the_screen_are_those_of_the_json() {
    let json = denials::json_lines(&fixture::world(), &denials::Wanted::default());
    let lines = json.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let groups: Vec<_> = lines.filter(|line| line["type"] == "group").collect();
    assert_eq!(groups.len(), 2);
    for (nth, group) in groups.iter().enumerate() {
        let mut player = Player::new(fixture::world(), TALL);
        player.keys("2").keys(&"j ".repeat(nth)).keys("enter");
        let page = player.screen();
        let keys =
            ["cluster", "namespace", "workload", "direction", "destination", "port", "protocol", "class"];
        holds(&page, &keys.map(|key| &group[key]));
        let keys = ["said", "address", "node", "pods", "owner", "contact"];
        holds(&page, &keys.map(|key| &group[key]));
        holds(&page, &[&Value::from(format!("{} times", group["count"]))]);
        if !group["ours"].is_null() {
            holds(&page, &[&group["ours"]["verdict"], &group["ours"]["why"]]);
        }
    }
}

#[test]
fn the_plan_on_the_screen_is_that_of_the_json() {
    let everything = Shown { clusters: Vec::new(), direction: None };
    let json: Value = serde_json::from_str(&plan_json::json(&lead::world(), &everything)).expect("JSON");
    let mut compared = 0;
    for (direction, keys) in Direction::ALL.into_iter().zip(["7", "7 tab"]) {
        let all = json["directions"].as_array().expect("a list");
        let part = all.iter().find(|part| part["direction"] == direction.as_str()).expect("its part");
        for wave in part["waves"].as_array().expect("waves") {
            for row in wave["rows"].as_array().expect("rows") {
                let (cluster, ns) =
                    (row["cluster"].as_str().expect("a name"), row["namespace"].as_str().expect("a name"));
                let mut player = Player::new(lead::world(), TALL);
                player.keys(keys);
                let filter = format!("cluster:/^{cluster}$/ ns:/^{ns}$/");
                player.model.filters.texts.insert(Sheet::Main(Main::Plan), filter);
                player.settle();
                player.model.plan.list.choose(PlanKey::Row(fixture::target(cluster, ns, direction)));
                player.settle();
                let row_and_wave = player.screen();
                let page = format!("{row_and_wave}{}", player.keys("z").screen());
                holds(
                    &page,
                    &[&row["cluster"], &row["namespace"], &row["state"]["word"], &row["state"]["why"]],
                );
                holds(&page, &[&Value::from(format!("wave {}", wave["number"])), &wave["verdict"]]);
                holds(&page, &[&row["exclusion"]["by"], &row["exclusion"]["reason"]]);
                let missing = row["missing"].as_array().expect("a list");
                holds(&page, &missing.iter().map(|gate| &gate["text"]).collect::<Vec<_>>());
                compared += 1;
            }
        }
    }
    assert!(compared >= 4, "{compared}");
}

#[test]
fn reviews_on_the_screen_are_those_of_the_json() {
    let world = fixture::reviews::reviewed();
    let mut player = Player::new(fixture::reviews::reviewed(), TALL);
    player.keys("8");
    let names: Vec<Text> = player.model.team.reviews.rows().iter().map(|row| row.name.clone()).collect();
    assert!(names.len() >= 4, "{names:?}");
    for (nth, name) in names.iter().enumerate() {
        let kept = world.shared().review(name).expect("it is kept");
        let json: Value = serde_json::from_str(&reviews::show_json(&dossier(&world, kept))).expect("JSON");
        let mut player = Player::new(fixture::reviews::reviewed(), TALL);
        let at = player.keys("8").model.team.reviews.list.rows().iter().position(|row| row == name);
        assert!(at.is_some(), "{nth}: {name} has a row");
        player.model.team.reviews.list.choose(name.clone());
        player.settle();
        let page = player.keys("enter").screen();
        holds(&page, &["name", "requested_by", "purpose", "findings"].map(|key| &json[key]));
        let grant = &json["grant"];
        holds(&page, &["namespace", "direction", "name", "networks", "ports"].map(|key| &grant[key]));
        for cluster in json["clusters"].as_array().expect("a list") {
            holds(&page, &[&cluster["name"]]);
        }
        for decision in json["decisions"].as_array().expect("a list") {
            holds(&page, &["verdict", "by", "reason", "ticket"].map(|key| &decision[key]));
        }
        for opened in json["opens"].as_array().expect("a list") {
            holds(&page, &["policy", "what"].map(|key| &opened[key]));
        }
    }
}

/// One verb for one effect: what the screen calls a change, the command line calls it too.
#[test]
fn one_effect_has_one_name_on_the_screen_and_in_commands() {
    use clap::CommandFactory as _;
    /// A key at the right moment.
    const SCREEN_ONLY: &[&str] = &["abort"];
    let cli = super::args::Cli::command();
    let names: Vec<&str> = cli.get_subcommands().map(clap::Command::get_name).collect();
    let review = cli.find_subcommand("review").expect("its own commands");
    let of_reviews: Vec<&str> = review.get_subcommands().map(clap::Command::get_name).collect();
    let over = cli.find_subcommand("override").expect("its own commands");
    let of_overrides: Vec<&str> = over.get_subcommands().map(clap::Command::get_name).collect();
    let apply = cli.find_subcommand("apply").expect("its own options");
    let of_apply: Vec<&str> = apply.get_arguments().filter_map(clap::Arg::get_long).collect();
    for row in commands::TABLE {
        if matches!(row.risk, Risk::Looks | Risk::Asks | Risk::Files) || SCREEN_ONLY.contains(&row.name) {
            continue;
        }
        let of_review = of_reviews.contains(&row.name.trim_end_matches("-review"));
        let of_override = of_overrides.contains(&row.name.trim_end_matches("-override"));
        let is_one = names.contains(&row.name) || of_review || of_override || of_apply.contains(&row.name);
        assert!(is_one, "{} is no command of sluice, {names:?}, review {of_reviews:?}", row.name);
    }
    for name in SCREEN_ONLY {
        assert!(commands::by_name(name).is_some() && !names.contains(name), "{name}");
    }
}
