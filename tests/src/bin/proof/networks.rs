//! Calls through gateways of all kinds, and what becomes of them when a network breaks.

use std::time::Duration;

use engine::base::time::now;
use engine::media::report::Report;
use visavis_tests::Outcome;
use visavis_tests::hostile;
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
            let Ok([caller, callee]) = pair.call(4, "") else {
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
    fn of(pair: &Pair, seconds: u32, wreck: impl FnOnce(&Party) -> Outcome<()>) -> Outcome<Self> {
        let mut ben = pair.listen("--once")?;
        let mut ada = Party::call(&pair.setup(&pair.ada, &format!("--for {seconds}")), "@ben")?;
        ada.wait_for("in call with", Duration::from_secs(20))?;
        ben.wait_for("in call with", Duration::from_secs(20))?;
        wait(Duration::from_secs(5));
        wreck(&ada)?;
        let ada = ada.finish(Duration::from_secs(u64::from(seconds) + 30))?;
        let ben = ben.finish(Duration::from_secs(30))?;
        Ok(Self { ada, ben })
    }

    /// The longest time that either saw no new picture and heard nothing, without the outage itself.
    fn back(self, outage: Duration) -> Outcome<Back> {
        let [ada, ben] = [self.ada.ended()?, self.ben.ended()?];
        let longest = |of: fn(&Report) -> Option<f64>| {
            let worst = [&ada, &ben].map(|report| of(report).unwrap_or(f64::INFINITY));
            worst[0].max(worst[1]) - outage.as_secs_f64() * 1e3
        };
        Ok(Back {
            freeze: longest(|report| report.video.longest_freeze_ms),
            gap: longest(|report| report.audio.longest_gap_ms),
            left: ada.path.failovers + ben.path.failovers,
        })
    }
}

/// How long media was away, and how many paths were left for another.
struct Back {
    freeze: f64,
    gap: f64,
    left: u32,
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
    /// Of pictures, and of sound; milliseconds.
    must: f64,
    sound: f64,
    times: u32,
    seconds: u32,
    /// How much of a freeze is the outage itself.
    outage: Duration,
    wreck: &'a dyn Fn(&Lab, &Party, u32) -> Outcome<()>,
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
    let two = |lab: &Lab, _: &Party, _: u32| outage(lab, short);
    let thirty = |lab: &Lab, _: &Party, _: u32| outage(lab, long);
    let forget = |lab: &Lab, _: &Party, _: u32| lab.forget_connections(Side::A);
    let r#move = |lab: &Lab, _: &Party, time: u32| lab.move_client(Side::A, 3 + time as u8);
    let part = |lab: &Lab, _: &Party, _: u32| lab.part();
    let sleep = |span: Duration| {
        move |_: &Lab, ada: &Party, _: u32| {
            ada.sleep(true)?;
            wait(span);
            ada.sleep(false)
        }
    };
    let (doze, night) = (sleep(Duration::from_secs(8)), sleep(Duration::from_secs(40)));
    let flap = |lab: &Lab, _: &Party, _: u32| {
        let steps = [
            "link add unused type veth peer name unused2",
            "addr add 10.99.0.1/24 dev unused",
            "link set unused up",
            "link del unused",
        ];
        (0..20).flat_map(|_| steps).try_for_each(|step| lab.ip(Node::Client(Side::A), step))
    };
    type Wreck<'a> = &'a dyn Fn(&Lab, &Party, u32) -> Outcome<()>;
    fn case<'a>(line: &'static str, must: f64, wreck: Wreck<'a>) -> Case<'a> {
        Case { line, must, sound: must, times: 3, seconds: 14, outage: Duration::ZERO, wreck }
    }
    let cases = [
        Case { outage: short, ..case("media back after an outage of 2 s", 1000.0, &two) },
        Case { outage: long, times: 1, seconds: 44, ..case("after one of 30 s", 3000.0, &thirty) },
        case("gap when a gateway forgets its connections", 2000.0, &forget),
        case("gap when the caller's address changes", 2000.0, &r#move),
        case("gap when the direct path falls silent beside a relay", 1600.0, &part),
        Case {
            outage: Duration::from_secs(8),
            seconds: 20,
            ..case("after the caller's machine has slept 8 s", 1000.0, &doze)
        },
        Case {
            outage: Duration::from_secs(40),
            times: 1,
            seconds: 54,
            ..case("after it has slept 40 s", 3000.0, &night)
        },
        Case {
            times: 1,
            sound: 100.0,
            ..case("freeze while an unused interface comes and goes 20 times", 300.0, &flap)
        },
    ];
    for Case { line, must, sound, times, seconds, outage, wreck } in cases {
        let (mut freezes, mut gaps, mut failovers) = (Vec::new(), Vec::new(), 0);
        for time in 0..times {
            pair.set(Nat::Port, Nat::Port)?;
            let broken = Broken::of(&pair, seconds, |ada| wreck(&pair.lab, ada, time));
            match broken.and_then(|broken| broken.back(outage)) {
                Ok(back) => {
                    freezes.push(back.freeze);
                    gaps.push(back.gap);
                    failovers += back.left;
                }
                Err(text) => table.failed(&format!("{line}: {text}")),
            }
        }
        let worst = |of: &[f64]| of.iter().copied().reduce(f64::max);
        table.at_most(&format!("{line}, worst of {}", freezes.len()), worst(&freezes), must, "ms");
        table.at_most("  the same of sound", worst(&gaps), sound, "ms");
        table.goal("  paths left for another", Some(f64::from(failovers)), "", "");
    }
    Ok(())
}

/// What strangers, servers and a router do to calls.
pub fn hostile(table: &mut Table) -> Outcome<()> {
    const CALLS: u64 = 10;
    let (flooded, reports) = hostile::flooded(50_000, Duration::from_secs(10))?;
    table.at_least("checks without a password in 10 s", Some(flooded.sent as f64), 490_000.0, "");
    table.at_most("of them answered", Some(flooded.answered as f64), 0.0, "");
    let gap = |reports: &[Report; 2]| {
        let longest = reports.iter().filter_map(|report| report.audio.longest_gap_ms);
        longest.reduce(f64::max)
    };
    table.goal("longest gap of sound meanwhile", gap(&reports), "", "ms");
    let (mut begun, mut good, mut slowest) = (0, 0u32, 0.0f64);
    for seed in 0..CALLS {
        match hostile::greeted(2, seed) {
            Ok((greetings, reports)) => {
                begun += greetings;
                good += 1;
                slowest = reports.iter().filter_map(|report| report.setup_ms.connected).fold(slowest, f64::max);
            }
            Err(text) => table.failed(&text),
        }
    }
    table.goal("handshakes that others began", Some(begun as f64), "", "");
    table.at_least("calls that came about all the same", Some(f64::from(good)), CALLS as f64, "");
    table.goal("slowest of them to connect", Some(slowest), "", "ms");
    let (_, _, usual) = hostile::misled(10, 0, true)?;
    for seed in 0..3 {
        let (asked, _, grown) = hostile::misled(10, seed, false)?;
        table.at_least("a call past servers and a router that were asked", Some(asked as f64), 8.0, "times");
        table.at_most("  memory grown in it, more than where nobody answers", Some(grown - usual), 8.0, "MB");
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
