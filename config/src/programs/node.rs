//! What a storage node starts with.

use std::path::{Path, PathBuf};

use super::{check_listening, directory, secret_of};
use crate::address::Address;
use crate::bind::Bind;
use crate::mistakes::Mistakes;
use crate::row::Program;
use crate::rows::Key;
use crate::secret::Secret;
use crate::settings::Settings;
use crate::sources::{Layered, layer};

/// What the pulse port lies above the port for clients, as the bus of a Redis Cluster does.
const PULSE: u16 = 10_000;

#[derive(Debug, Clone)]
pub struct NodeConfig {
    pub settings: Settings,
    pub bind: Vec<Bind>,
    /// 0 asks for any free port.
    pub port: u16,
    pub admin_port: Option<u16>,
    /// Where members of the cluster ask how it is; None: it has no secret by which they could be told from others, or was told
    /// to be alone.
    pub pulse_port: Option<u16>,
    /// Absolute; not necessarily there yet.
    pub dir: PathBuf,
    /// The address that others are told, if it is not the one listened on.
    pub announce: Option<Address>,
    /// What members of the cluster prove themselves with.
    pub secret: Option<Secret>,
    /// What HTTP callers must show.
    pub admin_token: Option<Secret>,
}

impl NodeConfig {
    /// # Errors
    /// All mistakes of file, environment and flags.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: Vec<(String, String)>,
    ) -> Result<Self, Mistakes> {
        let mut layered = layer(Program::Node, file, environment, flags);
        check_listening(&mut layered);
        let dir = directory(&mut layered);
        let secret = secret_of(&mut layered, Key::SecretFile);
        let admin_token = secret_of(&mut layered, Key::AdminTokenFile);
        let announce = match layered.settings.text(Key::Announce) {
            "" => None,
            text => match text.parse() {
                Ok(address) => Some(address),
                Err(why) => {
                    let why: String = why;
                    layered.blame(Key::Announce, why);
                    None
                }
            },
        };
        let pulse_port = pulse_port(&mut layered, secret.is_some());
        let settings = layered.settings;
        layered.mistakes.or(Self {
            bind: settings.bind(),
            port: settings.port(Key::Port),
            admin_port: settings.port_or_off(Key::AdminPort),
            pulse_port,
            dir,
            announce,
            secret,
            admin_token,
            settings,
        })
    }
}

/// The pulse port as it was given, else the one that follows from the port for clients.
fn pulse_port(layered: &mut Layered, has_secret: bool) -> Option<u16> {
    let given = layered.settings.port_or_off(Key::PulsePort);
    if layered.places.contains_key(&Key::PulsePort) {
        if given.is_some() && !has_secret {
            layered.blame(Key::PulsePort, "without secret-file nobody can prove to be a member");
        }
        return given;
    }
    if !has_secret {
        return None;
    }
    match layered.settings.port(Key::Port) {
        0 => Some(0),
        port => {
            let above = port.checked_add(PULSE);
            if above.is_none() {
                let wanted = u32::from(port) + u32::from(PULSE);
                let why = format!("pulse-port would be {wanted}, above 65535: give --pulse-port");
                layered.blame(Key::Port, why);
            }
            above
        }
    }
}
