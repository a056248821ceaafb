//! Files that were left over.

use crate::member::{Medium, Member};

/// Up to this many files of one kind get a warning each.
const ONE_BY_ONE: usize = 5;
/// How many are named where they are summed up.
const NAMED: usize = 3;

/// Something that is no fault and that the user should still know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The entry's name, escaped; the first one where several are summed up.
    pub name: String,
    /// `orphan-mask`, `orphan-caption` or `unknown-file`.
    pub kind: &'static str,
    /// One line for people.
    pub message: String,
}

/// A warning for each file that was left over, or one for all of a kind if they are many.
pub(crate) fn left_over(members: &[Member]) -> Vec<Warning> {
    ["orphan-mask", "orphan-caption", "unknown-file"]
        .into_iter()
        .flat_map(|kind| {
            let names = members.iter().filter(|member| kind_of(member) == kind);
            of_kind(kind, &names.map(|member| member.name.to_string()).collect::<Vec<_>>())
        })
        .collect()
}

fn kind_of(member: &Member) -> &'static str {
    match member.medium {
        Medium::Video(_) => "orphan-mask",
        Medium::Image(_) if member.stem.ends_with("_mask") => "orphan-mask",
        Medium::Text => "orphan-caption",
        Medium::Image(_) | Medium::Unknown => "unknown-file",
    }
}

fn of_kind(kind: &'static str, names: &[String]) -> Vec<Warning> {
    let (one, many) = match kind {
        "orphan-mask" => ("is a mask of no clip", "masks belong to no clip"),
        "orphan-caption" => ("is a caption of no clip", "captions belong to no clip"),
        _ => ("is neither clip, mask nor caption", "files are neither clips, masks nor captions"),
    };
    if names.len() <= ONE_BY_ONE {
        let each = |name: &String| Warning { name: name.clone(), kind, message: format!("`{name}` {one}") };
        return names.iter().map(each).collect();
    }
    let named = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let message = format!("{} {many}: {named} and {} more", names.len(), names.len() - NAMED);
    names.first().map(|name| Warning { name: name.clone(), kind, message }).into_iter().collect()
}
