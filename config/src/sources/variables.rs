//! Settings from the environment: `SLOTWAY__REDIS__MAXMEMORY_POLICY=allkeys-lru`.
//!
//! Two underscores separate the parts of the name; the value is taken as it is, commas, `#` and `__` included.
//! Variables of sections that belong to other programs are none of this program's business.

use super::{Given, Strangers, Written};
use crate::mistakes::{Mistakes, Place};
use crate::row::{Program, Section};

pub(super) fn read(
    environment: impl Iterator<Item = (String, String)>,
    program: Program,
    mistakes: &mut Mistakes,
) -> Vec<Given> {
    let mut given = Vec::new();
    for (variable, value) in environment {
        let Some(rest) = variable.strip_prefix("SLOTWAY__") else { continue };
        let place = Place::Variable(variable.clone());
        let Some((section, name)) = rest.split_once("__") else {
            mistakes.add(place, rest, "a setting is written SLOTWAY__SECTION__NAME");
            continue;
        };
        let section = section.to_ascii_lowercase();
        match Section::ALL.into_iter().find(|known| known.name(program) == section) {
            Some(section) => given.push(Given {
                place,
                section: Some(section),
                key: variable.clone(),
                name: name.to_owned(),
                strangers: Strangers::Ignored,
                value: Written::Text(value),
            }),
            None if Program::ALL.iter().any(|other| other.name() == section) => {}
            None => {
                let sections = Section::ALL.map(|section| section.name(program).to_ascii_uppercase());
                let text = format!("there is no section {section}; there are {}", sections.join(", "));
                mistakes.add(place, name, text);
            }
        }
    }
    given.sort_by(|a, b| a.key.cmp(&b.key));
    given
}
