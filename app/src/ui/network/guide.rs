//! How the program uses the network: there without one.

use egui::{Grid, Ui};
use engine::proto::nettest::port_table::{router_rules, rows};
use engine::proto::target::DEFAULT_BASE;

use super::{NetworkState, heading, weak};

pub fn show(ui: &mut Ui, state: &NetworkState) {
    let base = state.base.unwrap_or(DEFAULT_BASE);
    ui.label(
        "No change to a router is needed to call. Calls go directly from machine to machine where they can, else through the \
         relay of the service. A rule in the router makes a call quicker; Test Network says by how much.",
    );
    heading(ui, "Ports");
    Grid::new("ports").num_columns(3).spacing([16.0, 4.0]).striped(true).show(ui, |ui| {
        for row in rows(base) {
            ui.label(row.port);
            weak(ui, row.direction);
            ui.label(row.what);
            ui.end_row();
        }
    });
    heading(ui, "In the router");
    ui.label(
        "Turn on UPnP, NAT-PMP or PCP: then the program opens what it needs and closes it when it ends. Or set rules:",
    );
    let local = state.local.iter().find(|ip| ip.is_ipv4());
    let local = local.map_or_else(|| "this machine's address".to_owned(), ToString::to_string);
    for rule in router_rules(base, &local) {
        ui.monospace(rule);
    }
    heading(ui, "In a firewall on this machine");
    ui.label("Linux with ufw:");
    ui.monospace(format!("sudo ufw allow {base}:{}/udp", base.saturating_add(100)));
    ui.monospace(format!("sudo ufw allow {base}:{}/tcp", base.saturating_add(2)));
    ui.label("Linux with firewalld:");
    ui.monospace(format!("sudo firewall-cmd --permanent --add-port={base}-{}/udp", base.saturating_add(100)));
    ui.monospace(format!("sudo firewall-cmd --permanent --add-port={base}-{}/tcp", base.saturating_add(2)));
    heading(ui, "In a company");
    ui.label(
        "One open TCP port of 443, 2018, 9800 or 2010–2030 outwards is enough for everything by the service. For good \
         pictures also UDP outwards: ask your administrator for the table above. Where there is a proxy, set it under \
         Network.",
    );
    heading(ui, "On the same network");
    ui.label(
        "People on the same network see each other under People and call each other without a service or an account.",
    );
}
