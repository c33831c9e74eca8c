//! Keeps `src/pb` in step with `assets/proto`: regenerates it and compares.
//! `UPDATE_GOLDEN=1 cargo test --test servers pb::` writes the files.

use std::{env, fs, path::Path};

/// What the generator calls a file after its package, and what we do.
const FILES: [(&str, &str); 6] = [
    ("antrea_io.antrea.pkg.apis.flow.v1alpha1.rs", "antrea.rs"),
    ("dnstap.rs", "dnstap.rs"),
    ("flow.rs", "flow.rs"),
    ("goldmane.rs", "goldmane.rs"),
    ("observer.rs", "observer.rs"),
    ("relay.rs", "relay.rs"),
];

#[test]
#[expect(clippy::disallowed_methods, reason = "the one switch that rewrites goldens")]
fn generated_code_is_what_the_proto_files_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().expect("a temporary folder");
    let files = protox::compile(
        ["observer.proto", "dnstap.proto", "goldmane.proto", "antrea.proto"],
        [root.join("assets/proto")],
    )
    .expect("the proto files compile");
    tonic_prost_build::configure()
        .build_transport(false)
        .out_dir(out.path())
        .compile_fds(files)
        .expect("code is generated");
    for (made, name) in FILES {
        let fresh = fs::read_to_string(out.path().join(made)).expect(made);
        let kept = root.join("src/pb").join(name);
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&kept, &fresh).expect(name);
        }
        let kept = fs::read_to_string(&kept).unwrap_or_default();
        assert!(
            kept == fresh,
            "src/pb/{name} differs from assets/proto: run `UPDATE_GOLDEN=1 cargo test --test servers pb::`"
        );
    }
}
