//! Which addresses are on the public internet.
//!
//! After IANA's registries of special-purpose addresses, RFC 6890 as updated, which `std` knows in no stable function.
//! Where a registry leaves room, the answer is no: nobody serves a dataset from there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 addresses that are no host on the public internet, as address and length of the prefix.
const NOT_PUBLIC_V4: [(Ipv4Addr, u32); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),       // this network; 0.0.0.0 is this machine
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // shared by the customers of a carrier
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // this machine
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link; 169.254.169.254 hands out a cloud machine's credentials
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocols
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // relays of 6to4, no longer in use
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved
    (Ipv4Addr::BROADCAST, 32),
];

/// All that is handed out as global unicast. Link, site and unique local addresses, multicast, `::1` and addresses
/// compatible with IPv4 are outside.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What of it is no host on the public internet.
const NOT_PUBLIC_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocols, Teredo, benchmarks, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: any IPv4 address, by a relay
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// IPv4 addresses written as IPv6, which reach the IPv4 address in their last 32 bits: mapped ones on this machine,
/// those of NAT64 at a gateway.
const HOLDS_V4: [(Ipv6Addr, u32); 2] =
    [(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96), (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96)];

/// Whether an address is one of a host on the public internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) if is_in_any(address, &HOLDS_V4) => {
            is_public_v4(Ipv4Addr::from_bits(address.to_bits() as u32))
        }
        IpAddr::V6(address) => is_in_any(address, &[GLOBAL_V6]) && !is_in_any(address, &NOT_PUBLIC_V6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let is_in =
        |(range, length): (Ipv4Addr, u32)| (address.to_bits() ^ range.to_bits()).leading_zeros() >= length;
    !NOT_PUBLIC_V4.into_iter().any(is_in)
}

fn is_in_any(address: Ipv6Addr, ranges: &[(Ipv6Addr, u32)]) -> bool {
    let is_in =
        |(range, length): &(Ipv6Addr, u32)| (address.to_bits() ^ range.to_bits()).leading_zeros() >= *length;
    ranges.iter().any(is_in)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The first and the last address of each range that is not public, as the registry gives it. What is next to a
    /// range on either side is public, unless it is in another range.
    const V4: [(&str, &str); 14] = [
        ("0.0.0.0", "0.255.255.255"),
        ("10.0.0.0", "10.255.255.255"),
        ("100.64.0.0", "100.127.255.255"),
        ("127.0.0.0", "127.255.255.255"),
        ("169.254.0.0", "169.254.255.255"),
        ("172.16.0.0", "172.31.255.255"),
        ("192.0.0.0", "192.0.0.255"),
        ("192.0.2.0", "192.0.2.255"),
        ("192.88.99.0", "192.88.99.255"),
        ("192.168.0.0", "192.168.255.255"),
        ("198.18.0.0", "198.19.255.255"),
        ("198.51.100.0", "198.51.100.255"),
        ("203.0.113.0", "203.0.113.255"),
        ("224.0.0.0", "255.255.255.255"),
    ];

    fn v4(text: &str) -> u32 {
        text.parse::<Ipv4Addr>().unwrap().to_bits()
    }

    /// By search in the list above.
    fn is_listed(address: u32) -> bool {
        V4.iter().any(|(first, last)| (v4(first)..=v4(last)).contains(&address))
    }

    fn public(text: &str) -> bool {
        is_public(text.parse().unwrap())
    }

    #[test]
    fn every_range_of_ipv4_is_refused_from_its_first_address_to_its_last() {
        for (first, last) in V4 {
            for refused in [v4(first), v4(first) + 1, v4(last) - 1, v4(last)] {
                assert!(!is_public(Ipv4Addr::from_bits(refused).into()), "{first} to {last}");
            }
            for beside in [v4(first).checked_sub(1), v4(last).checked_add(1)].into_iter().flatten() {
                let address = Ipv4Addr::from_bits(beside);
                assert!(is_public(address.into()), "{address}, beside {first} to {last}");
            }
        }
    }

    #[test]
    fn hosts_of_the_public_internet_are_allowed() {
        let hosts = [
            "1.1.1.1",
            "8.8.8.8",
            "93.184.215.14",
            "192.0.1.1",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450:4001:82a::200e",
            "2000::",
            "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff:1000::",
            "64:ff9b::8.8.8.8",
            "::ffff:8.8.8.8",
        ];
        hosts.iter().for_each(|host| assert!(public(host), "{host}"));
    }

    #[test]
    fn what_is_no_host_of_the_public_internet_is_refused() {
        let refused = [
            ("::", "none"),
            ("::1", "this machine"),
            ("::127.0.0.1", "compatible with IPv4"),
            ("::8.8.8.8", "compatible with IPv4"),
            ("::ffff:127.0.0.1", "mapped"),
            ("::ffff:169.254.169.254", "mapped"),
            ("::ffff:0:8.8.8.8", "translated, RFC 2765"),
            ("64:ff9b::10.0.0.1", "NAT64"),
            ("64:ff9b::169.254.169.254", "NAT64"),
            ("64:ff9b::1:808:808", "next to NAT64"),
            ("64:ff9b:1::", "local NAT64"),
            ("64:ff9b:1:ffff:ffff:ffff:808:808", "local NAT64"),
            ("100::1", "discard"),
            ("100:0:0:1::1", "dummy"),
            ("1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "before global unicast"),
            ("2001::", "Teredo"),
            ("2001:0:ffff:ffff:ffff:ffff:f7f7:f7f7", "Teredo"),
            ("2001:2::1", "benchmarks"),
            ("2001:10::1", "ORCHID"),
            ("2001:20::1", "ORCHID"),
            ("2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "protocols"),
            ("2001:db8::", "documentation"),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "documentation"),
            ("2002:7f00:1::1", "6to4 of 127.0.0.1"),
            ("2002:808:808::1", "6to4 of a public address"),
            ("3fff::", "documentation"),
            ("3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "documentation"),
            ("4000::", "after global unicast"),
            ("5f00::1", "segment routing"),
            ("fc00::1", "unique local"),
            ("fd00:ec2::254", "unique local, the credentials of a cloud machine"),
            ("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "unique local"),
            ("fe80::1", "link"),
            ("fec0::1", "site"),
            ("ff02::1", "multicast"),
            ("ff0e::1", "multicast"),
        ];
        refused.iter().for_each(|(address, why)| assert!(!public(address), "{address}: {why}"));
    }

    proptest! {
        #[test]
        fn an_ipv4_address_is_judged_alike_in_every_writing(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            prop_assert_eq!(is_public(address.into()), !is_listed(bits));
            let mapped: Ipv6Addr = format!("::ffff:{address}").parse().unwrap();
            let nat64: Ipv6Addr = format!("64:ff9b::{address}").parse().unwrap();
            prop_assert_eq!([is_public(mapped.into()), is_public(nat64.into())], [!is_listed(bits); 2]);
        }

        #[test]
        fn nothing_outside_global_unicast_is_public_but_ipv4(bits: u128) {
            let address = Ipv6Addr::from_bits(bits);
            let first = address.segments()[0];
            prop_assume!(first != 0 && first != 0x64);
            prop_assert!((0x2000..0x4000).contains(&first) || !is_public(address.into()));
        }
    }
}
