//! Hosts with addresses of their own, joined by a switch, for systems that are to be cut apart. Everything is one machine: network namespaces.
//!
//! A host is a [`Place`]; nothing has a name on the machine, so nothing is left behind. What goes from one host to another is cut by making the
//! sender believe in a hardware address that nobody has: frames leave, and nobody takes them. So a cut is silent and goes one way.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use super::place::{Door, Place};

/// The hardware address that nobody has.
const NOBODY: &str = "02:00:00:00:00:01";

/// All hosts are 10.77.0.x.
const PREFIX: [u8; 3] = [10, 77, 0];

/// Pieces of a delayed connection that are under way at once.
const UNDER_WAY_MAX: usize = 64 * 1024;

/// Hosts, by name.
#[derive(Debug)]
pub struct Network {
    hosts: BTreeMap<String, Host>,
    /// Where the switch is.
    _hub: Place,
}

#[derive(Clone, Debug)]
struct Host {
    place: Place,
    address: IpAddr,
}

impl Network {
    /// # Errors
    /// Without root's rights or `ip` (of iproute2).
    pub fn new(names: &[&str]) -> io::Result<Network> {
        let hub = Place::apart()?;
        ip(&hub, "link add name switch type bridge")?;
        ip(&hub, "link set switch up")?;
        let mut hosts = BTreeMap::new();
        for (nth, name) in (0_u8..).zip(names) {
            let place = Place::apart()?;
            let address = Ipv4Addr::new(PREFIX[0], PREFIX[1], PREFIX[2], 10 + nth);
            ip(&hub, &format!("link add port{nth} type veth peer name eth netns {}", descriptor(&place)?))?;
            ip(&hub, &format!("link set port{nth} master switch up"))?;
            ip(&place, "link set lo up")?;
            ip(&place, &format!("addr add {address}/24 dev eth"))?;
            ip(&place, "link set eth up")?;
            // A host that has another's address for a relay's sake must not claim it on the switch.
            place.run(|| fs::write("/proc/sys/net/ipv4/conf/all/arp_ignore", "1"))?;
            hosts.insert((*name).to_owned(), Host { place, address: address.into() });
        }
        Ok(Network { hosts, _hub: hub })
    }

    fn host(&self, name: &str) -> io::Result<&Host> {
        self.hosts.get(name).ok_or_else(|| io::Error::other(format!("no host {name}")))
    }

    /// # Errors
    /// When there is no such host, here and below.
    pub fn place(&self, name: &str) -> io::Result<Place> {
        self.host(name).map(|host| host.place.clone())
    }

    /// # Errors
    /// As above.
    pub fn address(&self, name: &str) -> io::Result<IpAddr> {
        self.host(name).map(|host| host.address)
    }

    /// How a client on one host reaches a port of another.
    ///
    /// # Errors
    /// As above.
    pub fn door(&self, from: &str, to: &str, port: u16) -> io::Result<Door> {
        Ok(Door { place: self.place(from)?, address: SocketAddr::new(self.address(to)?, port) })
    }

    /// From now on nothing that one of these sends to one of those arrives.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn cut(&self, from: &[&str], to: &[&str]) -> io::Result<()> {
        for sender in from {
            for receiver in to {
                let address = self.address(receiver)?;
                let sentence = format!("neigh replace {address} lladdr {NOBODY} nud permanent dev eth");
                ip(&self.host(sender)?.place, &sentence)?;
            }
        }
        Ok(())
    }

    /// # Errors
    /// When `ip` refuses.
    pub fn heal(&self) -> io::Result<()> {
        for host in self.hosts.values() {
            ip(&host.place, "neigh flush all nud permanent")?;
        }
        Ok(())
    }

    /// Whatever `from` sends to a port of `to` arrives so much later, and so do the answers. `from` must not speak to `to` yet.
    ///
    /// On `from` the address of `to` becomes a local one, where a relay listens that connects from the outside.
    ///
    /// # Errors
    /// When `ip` refuses, or the port is taken.
    pub fn delay(&self, from: &str, to: &str, port: u16, by: Duration) -> io::Result<()> {
        let (sender, address) = (self.host(from)?, self.address(to)?);
        // Another port of the same address has put it there already.
        let _there = ip(&sender.place, &format!("addr add {address}/32 dev lo"));
        let listener = sender.place.run(|| TcpListener::bind((address, port)))?;
        let outside = Door { place: self.place("relay")?, address: SocketAddr::new(address, port) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who cannot be reached is seen as a connection that ends at once.
                let Ok(onward) = outside.connect(Duration::from_secs(2)) else { continue };
                let _no_delay = stream.set_nodelay(true);
                let pair = (stream.try_clone(), onward.try_clone());
                if let (Ok(back), Ok(forth)) = pair {
                    relay(stream, forth, by);
                    relay(onward, back, by);
                }
            }
        });
        Ok(())
    }
}

/// Passes on what comes, each piece so much later. The end is passed on at once, and what is under way is lost with it, as what lies in the buffers
/// of a machine that loses its power is. (The kernel would deliver all that a killed process has written, and nothing would ever be lost.)
fn relay(mut from: TcpStream, to: TcpStream, by: Duration) {
    let (sender, receiver) = sync_channel(UNDER_WAY_MAX);
    let has_ended = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&has_ended);
    thread::spawn(move || {
        let mut room = vec![0; 64 * 1024];
        while let Ok(bytes @ 1..) = from.read(&mut room) {
            if sender.send((Instant::now() + by, room[..bytes].to_vec())).is_err() {
                break;
            }
        }
        has_ended.store(true, Relaxed);
        let _closed = from.shutdown(Shutdown::Both);
    });
    thread::spawn(move || pass_on(&receiver, to, &is_over));
}

fn pass_on(receiver: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream, is_over: &AtomicBool) {
    while let Ok((at, bytes)) = receiver.recv() {
        while let Some(left) = at.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            thread::park_timeout(left);
        }
        if is_over.load(Relaxed) || to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _closed = to.shutdown(Shutdown::Both);
}

/// A path that stands for the network as long as this program lives.
fn descriptor(place: &Place) -> io::Result<String> {
    use std::os::fd::AsRawFd;
    match place {
        Place::Here => Err(io::Error::other("the machine's own network")),
        Place::Apart(network) => Ok(format!("/proc/{}/fd/{}", std::process::id(), network.as_raw_fd())),
    }
}

/// Runs `ip` there.
fn ip(place: &Place, sentence: &str) -> io::Result<()> {
    let mut command = Command::new("ip");
    command.args(sentence.split(' '));
    place.house(&mut command);
    let output = command.output()?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(io::Error::other(format!("ip {sentence}: {said}")))
        }
    }
}

/// Whether networks can be made here at all.
#[must_use]
pub fn is_possible() -> bool {
    fs::metadata("/proc/self/ns/net").is_ok() && Network::new(&["probe"]).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a word and says whether it came back in time.
    fn answers(door: &Door) -> bool {
        let Ok(mut stream) = door.connect(Duration::from_millis(300)) else { return false };
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut word = [0; 4];
        stream.write_all(b"ping").is_ok() && stream.read_exact(&mut word).is_ok()
    }

    fn echo(network: &Network, host: &str, port: u16) {
        let address = network.address(host).unwrap();
        let listener = network.place(host).unwrap().run(|| TcpListener::bind((address, port))).unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut word = [0; 4];
                while stream.read_exact(&mut word).is_ok() && stream.write_all(&word).is_ok() {}
            }
        });
    }

    #[test]
    fn what_is_cut_is_silent_until_it_is_healed() {
        if !is_possible() {
            return eprintln!("no networks can be made here: nothing tested");
        }
        let network = Network::new(&["a", "b", "relay"]).unwrap();
        echo(&network, "b", 700);
        let door = network.door("a", "b", 700).unwrap();
        assert!(answers(&door));
        for (from, to) in [("a", "b"), ("b", "a")] {
            network.cut(&[from], &[to]).unwrap();
            assert!(!answers(&door), "{from} cannot be heard by {to}");
            network.heal().unwrap();
            assert!(answers(&door));
        }
        let again = network.door("a", "b", 701).unwrap();
        echo(&network, "b", 701);
        network.delay("a", "b", 701, Duration::from_millis(20)).unwrap();
        let began = Instant::now();
        assert!(answers(&again) && began.elapsed() >= Duration::from_millis(40));
    }
}
