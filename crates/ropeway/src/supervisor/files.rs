//! Notices that the files of a configuration have changed.
//!
//! By looking, not by being told: that works on every file system, for links that are swapped as Kubernetes does it,
//! and for files that do not exist yet.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::load::files_in;

/// Watches over what stands at some paths.
#[derive(Debug)]
pub struct Files {
    /// Where the configuration stands, and the files that it names.
    paths: [Vec<PathBuf>; 2],
    /// As they were read.
    known: [Vec<Seen>; 2],
    /// As they were at the last look, if that was different.
    changing: Option<[Vec<Seen>; 2]>,
}

/// What a look at a file shows without reading it.
type Seen = (PathBuf, Option<Stamp>);

/// Device and inode, size, and time of the last change in nanoseconds.
type Stamp = (u64, u64, u64, i128);

impl Files {
    /// Over `paths`, as they are now: files, and directories with files in them. Standard input does not change.
    pub fn new(paths: &[PathBuf]) -> Self {
        let paths: Vec<_> = paths.iter().filter(|path| path.as_os_str() != "-").cloned().collect();
        Files { known: [look(&paths), Vec::new()], paths: [paths, Vec::new()], changing: None }
    }

    /// Watches over the files `named` in the configuration too: those that are new as they are now.
    pub fn name(&mut self, named: Vec<PathBuf>) {
        let known = std::mem::take(&mut self.known[1]);
        // What has changed since it was looked at may have changed after it was read.
        let seen = |now: Seen| known.iter().find(|(path, _)| *path == now.0).cloned().unwrap_or(now);
        self.known[1] = look(&named).into_iter().map(seen).collect();
        self.paths[1] = named;
    }

    /// Whether anything is different from what was known, and was so at the last look already: a file that is being
    /// written is let be. Then that is what is known.
    pub fn have_changed(&mut self) -> bool {
        let now = self.paths.each_ref().map(|paths| look(paths));
        if now == self.known {
            self.changing = None;
            return false;
        }
        if self.changing.as_ref() == Some(&now) {
            self.known = now;
            self.changing = None;
            return true;
        }
        self.changing = Some(now);
        false
    }
}

fn look(paths: &[PathBuf]) -> Vec<Seen> {
    let files = |path: &PathBuf| match path.is_dir() {
        true => files_in(path).unwrap_or_default(),
        false => vec![path.clone()],
    };
    let seen = |file: PathBuf| {
        let stamp = stamp(&file);
        (file, stamp)
    };
    paths.iter().flat_map(files).map(seen).collect()
}

fn stamp(file: &Path) -> Option<Stamp> {
    let of = |data: Metadata| {
        let changed = i128::from(data.ctime()) * 1_000_000_000 + i128::from(data.ctime_nsec());
        (data.dev(), data.ino(), data.size(), changed)
    };
    fs::metadata(file).ok().map(of)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Whether a change is noticed, and no sooner than at the second look.
    fn notices(files: &mut Files) -> bool {
        assert!(!files.have_changed());
        let noticed = files.have_changed();
        assert!(!files.have_changed() && !files.have_changed());
        noticed
    }

    #[test]
    fn every_way_to_change_a_file_is_noticed_once() {
        let folder = std::env::temp_dir().join(format!("ropeway-files-{}", std::process::id()));
        let [one, two, link] = ["one.yaml", "two.yaml", "link"].map(|name| folder.join(name));
        let [old, new] = ["old", "new"].map(|name| folder.join(name));
        for folder in [&old, &new] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("linked.yaml"), "a").unwrap();
        }
        fs::write(&one, "a").unwrap();
        symlink(&old, &link).unwrap();

        let mut files = Files::new(&[folder.clone(), link.join("linked.yaml"), PathBuf::from("-")]);
        assert!(!notices(&mut files));
        fs::write(&one, "b").unwrap();
        assert!(notices(&mut files), "written");
        fs::write(folder.join("other.txt"), "b").unwrap();
        assert!(!notices(&mut files), "not ours");
        fs::write(&two, "a").unwrap();
        assert!(notices(&mut files), "added");
        fs::rename(&two, &one).unwrap();
        assert!(notices(&mut files), "put in its place");
        let swap = folder.join("swap");
        symlink(&new, &swap).unwrap();
        fs::rename(&swap, &link).unwrap();
        assert!(notices(&mut files), "another link");
        fs::remove_file(&one).unwrap();
        assert!(notices(&mut files), "removed");
        files.name(vec![folder.join("other.txt")]);
        assert!(!notices(&mut files));
        fs::write(folder.join("other.txt"), "c").unwrap();
        assert!(notices(&mut files), "named");
        fs::remove_dir_all(&folder).unwrap();
    }
}
