//! Calls through gateways of all kinds, and what becomes of them when a network breaks.

use std::time::Duration;

use engine::base::time::now;
use engine::media::report::Report;
use visavis_tests::Outcome;
use visavis_tests::namespaces::pair::Pair;
use visavis_tests::namespaces::{self, Lab, Nat, Node, Side};
use visavis_tests::party::{Finished, Party, Setup};

use crate::table::Table;

const KINDS: [Nat; 12] = [
    Nat::None,
    Nat::FullCone,
    Nat::Addr,
    Nat::Port,
    Nat::Symmetric,
    Nat::UdpBlocked,
    Nat::Tcp443,
    Nat::SeedTable,
    Nat::ProxyOnly,
    Nat::SocksOnly,
    Nat::V6Only,
    Nat::V4Only,
];

/// How good a way is: a relay, a connection, a direct path.
fn rank(kind: &str) -> u8 {
    match kind {
        "direct" => 3,
        "tcp" => 2,
        "relay" => 1,
        _ => 0,
    }
}

/// The oracle: what two such homes can have at best over UDP, by what their gateways map and let in; else a relay. Recorded
/// with hole punching alone for the kinds of addresses and ports, extended by what the rules of the others let out.
fn oracle(a: Nat, b: Nat) -> &'static str {
    use Nat::{
        Addr, FullCone, None, Port, ProxyOnly, SeedTable, SocksOnly, Symmetric, Tcp443, UdpBlocked, V4Only, V6Only,
    };
    let is_direct = match (a, b) {
        // Both have IPv6, or one family is missing on one side.
        (V6Only | None, V6Only) | (V6Only, None) => true,
        (V6Only, _) | (_, V6Only) => false,
        (UdpBlocked | Tcp443 | ProxyOnly | SocksOnly, _) | (_, UdpBlocked | Tcp443 | ProxyOnly | SocksOnly) => false,
        // A random port is none that the table lets out, nor one that an address-and-port filter waits for.
        (Symmetric, Symmetric | Port | V4Only | SeedTable) | (Port | V4Only | SeedTable, Symmetric) => false,
        (None | FullCone | Addr | Port | Symmetric | SeedTable | V4Only, _) => true,
        _ => false,
    };
    if is_direct { "direct" } else { "relay" }
}

/// Every ordered pair.
pub fn matrix(table: &mut Table) -> Outcome<()> {
    if let Some(why) = namespaces::missing() {
        return Err(why);
    }
    let mut pair = Pair::new("")?;
    pair.start_proxies()?;
    let mut first: Vec<(&str, f64)> = Vec::new();
    let mut worse = Vec::new();
    for a in KINDS {
        let mut row = Vec::new();
        for b in KINDS {
            pair.set(a, b)?;
            let Ok([caller, callee]) = pair.call(3, "") else {
                worse.push(format!("{} × {}: no call", a.name(), b.name()));
                row.push("-");
                continue;
            };
            let kind = |report: &Report| match report.path.kind.as_deref() {
                Some("direct") => "direct",
                Some("tcp") => "tcp",
                Some("relay") => "relay",
                _ => "-",
            };
            let found = kind(&caller);
            let expected = oracle(a, b);
            if rank(found) < rank(expected) || kind(&callee) != found {
                worse.push(format!("{} × {}: {found}, {} and not {expected}", a.name(), b.name(), kind(&callee)));
            }
            row.push(found);
            let by = |kinds: &[Nat]| [a, b].iter().any(|kind| kinds.contains(kind));
            let way = match found {
                "relay" if by(&[Nat::ProxyOnly, Nat::SocksOnly]) => "proxy",
                "relay" if by(&[Nat::Tcp443, Nat::UdpBlocked]) => "tls",
                other => other,
            };
            for report in [caller, callee] {
                let both = report.setup_ms.first_audio.zip(report.setup_ms.first_video);
                let media = both.map_or(f64::INFINITY, |(audio, video)| audio.max(video));
                first.push((way, media));
            }
        }
        table.goal(&format!("{:>9}: {}", a.name(), row.join(" ")), None, "", "");
    }
    let all = KINDS.len() * KINDS.len();
    let good = all - worse.len().min(all);
    table.at_least(
        &format!("pairs of {all} that connect as well as the oracle or better"),
        Some(good as f64),
        all as f64,
        "",
    );
    worse.iter().for_each(|text| table.holds(text, false, "as the oracle or better"));
    for (kind, must) in [("direct", 1500.0), ("tcp", 1500.0), ("relay", 2500.0), ("tls", 4000.0), ("proxy", 5000.0)] {
        let mut of: Vec<f64> = first.iter().filter(|(other, _)| *other == kind).map(|(_, ms)| *ms).collect();
        of.sort_by(f64::total_cmp);
        let p95 = of.get((of.len() * 95 / 100).min(of.len().saturating_sub(1))).copied();
        table.at_most(&format!("first media by {kind} after the accept, p95 of {}", of.len()), p95, must, "ms");
    }
    Ok(())
}

/// A call in which something is done after some seconds.
struct Broken {
    ada: Finished,
    ben: Finished,
}

impl Broken {
    fn of(pair: &Pair, seconds: u32, wreck: impl FnOnce() -> Outcome<()>) -> Outcome<Self> {
        let mut ben = pair.listen("--once")?;
        let mut ada = Party::call(&pair.setup(&pair.ada, &format!("--for {seconds}")), "@ben")?;
        ada.wait_for("in call with", Duration::from_secs(20))?;
        ben.wait_for("in call with", Duration::from_secs(20))?;
        wait(Duration::from_secs(5));
        wreck()?;
        let ada = ada.finish(Duration::from_secs(u64::from(seconds) + 30))?;
        let ben = ben.finish(Duration::from_secs(30))?;
        Ok(Self { ada, ben })
    }

    /// The longest time that either saw no new picture, without the outage itself.
    fn back(self, outage: Duration) -> Outcome<(f64, u32)> {
        let [ada, ben] = [self.ada.ended()?, self.ben.ended()?];
        let longest = |report: &Report| report.video.longest_freeze_ms.unwrap_or(f64::INFINITY);
        let worst = longest(&ada).max(longest(&ben));
        Ok((worst - outage.as_secs_f64() * 1e3, ada.path.failovers + ben.path.failovers))
    }
}

/// A network that does nothing for a while is the thing itself, not a wait for something.
fn wait(span: Duration) {
    let until = now() + span;
    while let Some(left) = until.checked_duration_since(now()).filter(|left| !left.is_zero()) {
        std::thread::sleep(left);
    }
}

/// One way in which a network breaks.
struct Case<'a> {
    line: &'static str,
    must: f64,
    times: u32,
    seconds: u32,
    /// How much of a freeze is the outage itself.
    outage: Duration,
    wreck: &'a dyn Fn(&Lab, u32) -> Outcome<()>,
}

pub fn heal(table: &mut Table) -> Outcome<()> {
    if let Some(why) = namespaces::missing() {
        return Err(why);
    }
    let mut pair = Pair::new("")?;
    let outage = |lab: &Lab, span: Duration| {
        lab.cable(Side::A, false)?;
        wait(span);
        lab.cable(Side::A, true)
    };
    let (short, long) = (Duration::from_secs(2), Duration::from_secs(30));
    let two = |lab: &Lab, _: u32| outage(lab, short);
    let thirty = |lab: &Lab, _: u32| outage(lab, long);
    let forget = |lab: &Lab, _: u32| lab.forget_connections(Side::A);
    let r#move = |lab: &Lab, time: u32| lab.move_client(Side::A, 3 + time as u8);
    let part = |lab: &Lab, _: u32| lab.part();
    let flap = |lab: &Lab, _: u32| {
        let steps = [
            "link add unused type veth peer name unused2",
            "addr add 10.99.0.1/24 dev unused",
            "link set unused up",
            "link del unused",
        ];
        (0..20).flat_map(|_| steps).try_for_each(|step| lab.ip(Node::Client(Side::A), step))
    };
    fn case<'a>(line: &'static str, must: f64, wreck: &'a dyn Fn(&Lab, u32) -> Outcome<()>) -> Case<'a> {
        Case { line, must, times: 3, seconds: 14, outage: Duration::ZERO, wreck }
    }
    let cases = [
        Case { outage: short, ..case("pictures back after an outage of 2 s", 1000.0, &two) },
        Case { outage: long, times: 1, seconds: 44, ..case("after one of 30 s", 3000.0, &thirty) },
        case("gap when a gateway forgets its connections", 2000.0, &forget),
        case("gap when the caller's address changes", 2000.0, &r#move),
        case("gap when the direct path falls silent beside a relay", 1600.0, &part),
        Case { times: 1, ..case("freeze while an unused interface comes and goes 20 times", 300.0, &flap) },
    ];
    for Case { line, must, times, seconds, outage, wreck } in cases {
        let (mut gaps, mut failovers) = (Vec::new(), 0);
        for time in 0..times {
            pair.set(Nat::Port, Nat::Port)?;
            match Broken::of(&pair, seconds, || wreck(&pair.lab, time)).and_then(|broken| broken.back(outage)) {
                Ok((gap, left)) => {
                    gaps.push(gap);
                    failovers += left;
                }
                Err(text) => table.failed(&format!("{line}: {text}")),
            }
        }
        let worst = gaps.iter().copied().reduce(f64::max);
        table.at_most(&format!("{line}, worst of {}", gaps.len()), worst, must, "ms");
        table.goal("  paths left for another", Some(f64::from(failovers)), "", "");
    }
    Ok(())
}

/// Ten minutes in which nothing is said and shown: the path is never left.
pub fn quiet(table: &mut Table) -> Outcome<()> {
    if let Some(why) = namespaces::missing() {
        return Err(why);
    }
    let mut pair = Pair::new("")?;
    pair.set(Nat::Port, Nat::Port)?;
    let ben = Party::listen(
        &Setup::new("ben", &format!("--once {MUTE}"))
            .with_data(&pair.ben.data)
            .with_base(2000)
            .within(pair.ben.within.clone()),
    )?;
    let ada = Setup::new("ada", &format!("--for 600 {MUTE}")).with_data(&pair.ada.data).with_base(2000);
    let mut ben = ben;
    ben.wait_for("online as", Duration::from_secs(20))?;
    let ada = Party::call(&ada.within(pair.ada.within.clone()), "@ben")?.finish(Duration::from_secs(660))?.ended()?;
    let ben = ben.finish(Duration::from_secs(30))?.ended()?;
    table.at_least("length of a call without sound and pictures", Some(ada.seconds), 595.0, "s");
    table.at_most("paths left for another", Some(f64::from(ada.path.failovers + ben.path.failovers)), 0.0, "");
    Ok(())
}

const MUTE: &str = "--video none --mic none --speaker none";
