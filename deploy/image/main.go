// Command image makes the container image without a container engine: it builds the static programs and
// writes them, with the few files that a container needs, as one archive that containerd, CRI-O, Docker and
// Podman load; for several architectures as an OCI layout with an image index. The archive depends on its input alone: the same source
// gives the same bytes.
//
//	go run ./deploy/image -tag kube-router:dev -o bin/kube-router-image.tar
//	go run ./deploy/image -tag example.com/kube-router:1 -arch amd64,arm64 -o bin/kube-router-image-oci.tar
//	go run ./deploy/image -rootfs /out        # only the tree, for a Containerfile
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// programs are what the image holds: Go packages and the folder that their programs go to.
func programs() map[string][]string {
	const plugins = "github.com/containernetworking/plugins/plugins/"
	return map[string][]string{
		"usr/local/bin": {"./cmd/kube-router", "./cmd/cni-install"},
		"opt/cni/bin": {
			"./cmd/kube-router-cni",
			plugins + "ipam/host-local", plugins + "main/bridge", plugins + "main/loopback",
			plugins + "meta/bandwidth", plugins + "meta/portmap", plugins + "meta/tuning",
		},
	}
}

type options struct {
	tag, arch, version, out, rootfs string
}

func main() {
	var o options
	flag.StringVar(&o.tag, "tag", "kube-router:dev", "name of the image")
	flag.StringVar(&o.arch, "arch", runtime.GOARCH, "amd64, arm64, arm, ppc64le or s390x; several with commas between")
	flag.StringVar(&o.version, "version", "development", "version that the programs tell")
	flag.StringVar(&o.out, "o", "kube-router-image.tar", "archive to write")
	flag.StringVar(&o.rootfs, "rootfs", "", "write the image's tree to this folder in place of an archive")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	archs := strings.Split(o.arch, ",")
	if o.rootfs != "" {
		t, err := programTree(o, archs[0])
		if err != nil {
			return err
		}
		return t.write(o.rootfs)
	}
	var images []v1.Image
	for _, arch := range archs {
		t, err := programTree(o, arch)
		if err != nil {
			return err
		}
		img, err := image(t, arch, o.version)
		if err != nil {
			return err
		}
		images = append(images, img)
	}
	archive, err := single(images[0], o.tag)
	if len(images) > 1 {
		archive, err = several(images, archs, o.tag)
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(o.out, archive, 0o644); err != nil {
		return err
	}
	fmt.Printf("%s: %s for linux/%s, %d MiB\n", o.out, o.tag, strings.Join(archs, ", linux/"), len(archive)>>20)
	return nil
}

// programTree is the image's file system with the programs of one architecture.
func programTree(o options, arch string) (tree, error) {
	dir, err := os.MkdirTemp("", "kube-router-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for to, packages := range programs() {
		if err = build(o, arch, dir, to, packages); err != nil {
			return nil, err
		}
	}
	t := skeleton()
	return t, t.load(dir)
}

// build compiles packages into a folder of the tree, statically and without a trace of where.
func build(o options, arch, dir, to string, packages []string) error {
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=" + o.version,
		"-o", path.Join(dir, to) + "/"}, packages...)
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOARM=7")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := os.MkdirAll(path.Join(dir, to), 0o755); err != nil {
		return err
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building %s: %w", strings.Join(packages, " "), err)
	}
	return nil
}
