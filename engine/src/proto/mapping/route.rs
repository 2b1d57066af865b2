//! The way out of this network, as Linux shows it in `/proc/net/route`.

use std::net::Ipv4Addr;

/// The gateway of the default route with the least metric, and the name of its interface. `None`: there is none.
pub fn default_gateway(table: &str) -> Option<(Ipv4Addr, String)> {
    let route = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (name, destination, gateway) = (fields.next()?, fields.next()?, fields.next()?);
        let (flags, metric, mask) = (fields.next()?, fields.nth(2)?, fields.next()?);
        let flags = u16::from_str_radix(flags, 16).ok()?;
        let is_default = destination == "00000000" && mask == "00000000" && flags & UP_GATEWAY == UP_GATEWAY;
        // In the byte order of the machine that writes it.
        let gateway = Ipv4Addr::from(u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes());
        is_default.then_some((metric.parse::<u32>().ok()?, gateway, name.to_owned()))
    };
    let (_, gateway, name) = table.lines().skip(1).filter_map(route).min_by_key(|(metric, ..)| *metric)?;
    Some((gateway, name))
}

/// RTF_UP and RTF_GATEWAY.
const UP_GATEWAY: u16 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn the_default_route_with_the_least_metric_is_taken() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                     wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
                     eth0\t00000000\tFE00000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
                     eth0\t0000000A\t00000000\t0001\t0\t0\t100\t000000FF\t0\t0\t0\n";
        assert_eq!(default_gateway(table), Some((Ipv4Addr::new(10, 0, 0, 254), "eth0".into())));
        let first = table.lines().next().expect("a line");
        for none in ["", first, "\n\n", "a\nb c d\n", &format!("{first}\neth0\t00000000\tzz\t0003\t0\t0\t0\t00000000")]
        {
            assert_eq!(default_gateway(none), None, "{none:?}");
        }
    }
}
