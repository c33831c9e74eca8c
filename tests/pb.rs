//! Keeps `src/pb` in step with `assets/proto`: regenerates it and compares.
//! `UPDATE_GOLDEN=1 cargo test --test pb` writes the files.

use std::{env, fs, path::Path};

#[test]
#[expect(clippy::disallowed_methods, reason = "the one switch that rewrites goldens")]
fn generated_code_is_what_the_proto_files_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().expect("a temporary folder");
    let files =
        protox::compile(["observer.proto", "dnstap.proto", "goldmane.proto"], [root.join("assets/proto")])
            .expect("the proto files compile");
    tonic_prost_build::configure()
        .build_transport(false)
        .out_dir(out.path())
        .compile_fds(files)
        .expect("code is generated");
    for name in ["dnstap.rs", "flow.rs", "goldmane.rs", "observer.rs", "relay.rs"] {
        let fresh = fs::read_to_string(out.path().join(name)).expect(name);
        let kept = root.join("src/pb").join(name);
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&kept, &fresh).expect(name);
        }
        let kept = fs::read_to_string(&kept).unwrap_or_default();
        assert!(
            kept == fresh,
            "src/pb/{name} differs from assets/proto: run `UPDATE_GOLDEN=1 cargo test --test pb`"
        );
    }
}
