//! Small files that speak of components, made here: programs, archives, packed data.

use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};

/// How a program is laid out.
#[derive(Clone, Copy)]
pub struct Layout {
    pub is_64: bool,
    pub is_big_endian: bool,
}

pub const USUAL: Layout = Layout {
    is_64: true,
    is_big_endian: false,
};

impl Layout {
    pub fn number(self, number: u64, size: usize) -> Vec<u8> {
        match self.is_big_endian {
            true => number.to_be_bytes()[8 - size..].to_vec(),
            false => number.to_le_bytes()[..size].to_vec(),
        }
    }

    pub fn word(self, number: u64) -> Vec<u8> {
        self.number(number, if self.is_64 { 8 } else { 4 })
    }
}

/// Where the one segment of [`elf`] is loaded.
pub const ADDRESS: u64 = 0x40_0000;

/// A program with these sections; all of the file is loaded at [`ADDRESS`], writable. Also
/// returned is where in the file each section is.
pub fn elf(layout: Layout, sections: &[(&str, &[u8])]) -> (Vec<u8>, Vec<u64>) {
    let header = if layout.is_64 { 64 } else { 52 };
    let segment = if layout.is_64 { 56 } else { 32 };
    let mut names = b"\0.shstrtab\0".to_vec();
    let mut content = vec![0; header + segment];
    let mut entries: Vec<(u64, u64, u64, u64)> = vec![(0, 0, 0, 0)];
    let mut places = Vec::new();
    for (name, bytes) in sections {
        while content.len() % 16 != 0 {
            content.push(0);
        }
        entries.push((
            names.len() as u64,
            1,
            content.len() as u64,
            bytes.len() as u64,
        ));
        places.push(content.len() as u64);
        names.extend_from_slice(name.as_bytes());
        names.push(0);
        content.extend_from_slice(bytes);
    }
    entries.push((1, 3, content.len() as u64, names.len() as u64));
    content.extend_from_slice(&names);
    let table = content.len() as u64;
    for (name, kind, offset, size) in &entries {
        content.extend(layout.number(*name, 4));
        content.extend(layout.number(*kind, 4));
        for word in [0, 0, *offset, *size] {
            content.extend(layout.word(word));
        }
        content.extend(layout.number(0, 8));
        for word in [1, 0] {
            content.extend(layout.word(word));
        }
    }
    let mut head = b"\x7fELF".to_vec();
    head.push(if layout.is_64 { 2 } else { 1 });
    head.push(if layout.is_big_endian { 2 } else { 1 });
    head.resize(16, 0);
    for (number, size) in [(2, 2), (62, 2), (1, 4)] {
        head.extend(layout.number(number, size));
    }
    for word in [0, header as u64, table] {
        head.extend(layout.word(word));
    }
    head.extend(layout.number(0, 4));
    let entry = if layout.is_64 { 64 } else { 40 };
    let count = entries.len() as u64;
    for number in [header as u64, segment as u64, 1, entry, count, count - 1] {
        head.extend(layout.number(number, 2));
    }
    // PT_LOAD, readable and writable.
    head.extend(layout.number(1, 4));
    if layout.is_64 {
        head.extend(layout.number(6, 4));
    }
    let size = content.len() as u64;
    for word in [0, ADDRESS, ADDRESS, size, size] {
        head.extend(layout.word(word));
    }
    if !layout.is_64 {
        head.extend(layout.number(6, 4));
    }
    head.extend(layout.word(16));
    content[..header + segment].copy_from_slice(&head);
    (content, places)
}

pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec_zlib(bytes, 6)
}

/// A zip archive.
#[derive(Default)]
pub struct Zip {
    content: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

impl Zip {
    pub fn packed(self, name: &str, bytes: &[u8]) -> Self {
        let packed = compress_to_vec(bytes, 6);
        self.member(name, 8, 0, &packed, bytes.len())
    }

    pub fn stored(self, name: &str, bytes: &[u8]) -> Self {
        self.member(name, 0, 0, bytes, bytes.len())
    }

    /// A member that says of itself what it likes.
    pub fn member(
        mut self,
        name: &str,
        method: u16,
        flags: u16,
        packed: &[u8],
        size: usize,
    ) -> Self {
        let offset = u32::try_from(self.content.len()).expect("small");
        let (packed_size, size) = (packed.len() as u32, size as u32);
        let name_size = name.len() as u16;
        let mut shared = Vec::new();
        for half in [20, flags, method, 0, 0] {
            shared.extend(u16::to_le_bytes(half));
        }
        for word in [0, packed_size, size] {
            shared.extend(u32::to_le_bytes(word));
        }
        shared.extend(name_size.to_le_bytes());
        shared.extend([0, 0]);
        self.content.extend(b"PK\x03\x04");
        self.content.extend(&shared);
        self.content.extend(name.as_bytes());
        self.content.extend(packed);
        self.directory.extend(b"PK\x01\x02\x14\x00");
        self.directory.extend(&shared);
        self.directory.extend([0; 10]);
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.count += 1;
        self
    }

    pub fn build(self) -> Vec<u8> {
        let mut bytes = self.content;
        let offset = bytes.len() as u32;
        bytes.extend(&self.directory);
        bytes.extend(b"PK\x05\x06\0\0\0\0");
        bytes.extend(self.count.to_le_bytes());
        bytes.extend(self.count.to_le_bytes());
        bytes.extend((self.directory.len() as u32).to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        bytes.extend([0, 0]);
        bytes
    }
}

/// A jar as Maven makes it.
pub fn jar(group: &str, artifact: &str, version: &str) -> Zip {
    let pom = format!("#made\ngroupId={group}\nartifactId={artifact}\nversion={version}\n");
    let name = format!("META-INF/maven/{group}/{artifact}/pom.properties");
    Zip::default()
        .packed("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\n\r\n")
        .packed(&name, pom.as_bytes())
}

/// What `cargo auditable` puts into a program.
pub fn auditable() -> Vec<u8> {
    zlib(
        br#"{"packages":[
        {"name":"tool","version":"0.3.0","source":"local","root":true,"dependencies":[1]},
        {"name":"time","version":"0.1.43","source":"crates.io"},
        {"name":"fork","version":"1.0.0","source":"git"},
        {"name":"cc","version":"1.0.83","source":"crates.io","kind":"build"}]}"#,
    )
}

pub const GO_VERSION: &str = "go1.22.1 X:nocoverageredesign";
pub const GO_MODULES: &str = "path\texample.org/tool\nmod\texample.org/tool\t(devel)\t\n\
    dep\tgolang.org/x/net\tv0.7.0\th1:x=\n\
    dep\texample.org/old\tv1.0.0\n=>\texample.org/new\tv1.2.0\th1:y=\n\
    dep\texample.org/here\tv0.1.0\n=>\t./here\t\n\
    build\t-ldflags=\"-s -X example.org/tool/v.Version=2.5.0\"\nbuild\tCGO_ENABLED=0\n";

/// The text as the linker keeps it, between its marks.
pub fn go_text() -> Vec<u8> {
    [&[b'<'; 16][..], GO_MODULES.as_bytes(), &[b'>'; 16]].concat()
}

/// `.go.buildinfo` since Go 1.18.
pub fn go_inline() -> Vec<u8> {
    let mut bytes = b"\xff Go buildinf:\x08\x02".to_vec();
    bytes.resize(32, 0);
    for text in [GO_VERSION.as_bytes(), &go_text()] {
        let mut length = text.len();
        while length >= 0x80 {
            bytes.push(length as u8 & 0x7f | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend(text);
    }
    bytes
}

/// A program of Go before 1.18, with pointers to what it says.
pub fn go_pointers(layout: Layout) -> Vec<u8> {
    let text = go_text();
    let size = if layout.is_64 { 8 } else { 4 };
    // The places of sections do not depend on what they hold.
    let make = |places: &[u64]| {
        let at = |place: usize| ADDRESS + places.get(place).copied().unwrap_or(0);
        let mut info = b"\xff Go buildinf:".to_vec();
        info.extend([size as u8, u8::from(layout.is_big_endian)]);
        info.extend(layout.word(at(1)));
        info.extend(layout.word(at(1) + 2 * size));
        info.resize(32, 0);
        let mut headers = layout.word(at(2));
        headers.extend(layout.word(GO_VERSION.len() as u64));
        headers.extend(layout.word(at(3)));
        headers.extend(layout.word(text.len() as u64));
        elf(
            layout,
            &[
                (".go.buildinfo", &info),
                (".data", &headers),
                (".rodata", GO_VERSION.as_bytes()),
                (".text", &text),
            ],
        )
    };
    let (_, places) = make(&[]);
    make(&places).0
}

/// A tar archive of ustar headers; a name that ends in a slash is a directory.
pub fn tar(members: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, mode, content) in members {
        let kind = if name.ends_with('/') { b'5' } else { b'0' };
        tar_member(&mut bytes, name, *mode, kind, content);
    }
    bytes.extend([0; 1024]);
    bytes
}

pub fn tar_member(bytes: &mut Vec<u8>, name: &str, mode: u32, kind: u8, content: &[u8]) {
    let mut header = [0; 512];
    header[..name.len().min(100)].copy_from_slice(&name.as_bytes()[..name.len().min(100)]);
    header[100..108].copy_from_slice(format!("{mode:07o}\0").as_bytes());
    header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes.extend(header);
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
}

/// Packed by gzip, with a name in the header.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let head = [0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 255];
    // The sums at the end are not looked at.
    [
        &head[..],
        b"layer.tar\0",
        &compress_to_vec(bytes, 6),
        &[0; 8],
    ]
    .concat()
}

/// Packed by Zstandard as one frame, without its size in front and with a sum at the end, as
/// those who write images do.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).expect("an encoder");
    encoder.include_checksum(true).expect("a parameter");
    std::io::Write::write_all(&mut encoder, bytes).expect("memory");
    encoder.finish().expect("memory")
}
