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
use crate::sources::layer;

#[derive(Debug, Clone)]
pub struct NodeConfig {
    pub settings: Settings,
    pub bind: Vec<Bind>,
    /// 0 asks for any free port.
    pub port: u16,
    pub admin_port: Option<u16>,
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
        let settings = layered.settings;
        layered.mistakes.or(Self {
            bind: settings.bind(),
            port: settings.port(Key::Port),
            admin_port: settings.port_or_off(Key::AdminPort),
            dir,
            announce,
            secret,
            admin_token,
            settings,
        })
    }
}
