# Two commands matter: `make demo` shows it working, `make test` runs everything that CI runs.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
GOFLAGS_BUILD = -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
export CGO_ENABLED = 0

.PHONY: all build plugin release check lint test test-% test-kubernetes conformance demo image site bench fuzz clean

all: build

build:
	go build $(GOFLAGS_BUILD) -o bin/ ./cmd/...

# The container image, made without a container engine; ARCH=arm64 for another machine, TAG for another name.
image:
	@mkdir -p bin
	go run ./deploy/image -tag $(or $(TAG),kube-router:dev) -arch $(or $(ARCH),$(shell go env GOARCH)) -version $(VERSION) -o bin/kube-router-image.tar

# The kubectl plugin for every system, as archives, with the manifest by which krew installs it; URL is where they will be downloaded from.
plugin:
	go run ./deploy/plugin -version $(VERSION) -o bin/plugin $(if $(URL),-url $(URL))

# Everything that a release consists of, in dist: programs, plugin, image for both architectures, manifests, SBOM, changelog, checksums.
release:
	deploy/release $(VERSION) $(IMAGE)

# What should be true before every commit; seconds.
check:
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	go vet ./...
	go vet -tags guest ./test/...
	go vet -tags services,policy,routes,interop,boundaries,scale,encryption,addresses,flows,page ./test/...
	GOOS=darwin go build -o /dev/null ./cmd/kubectl-kuberouter
	GOOS=windows go build -o /dev/null ./cmd/kubectl-kuberouter
	go test .

# What linters say: staticcheck, shadowed variables, code that nothing reaches, another architecture.
lint:
	test/lint

# Everything, with the time of each stage.
test:
	test/run

# One stage: make test-guest, test-services, test-policy, test-routes, test-operate …
test-%: build
	test/run $*

# Kubernetes' own tests on a real cluster, and a dozen of them on one node; what they need is built and cached.
conformance:
	test/conformance/run

test-kubernetes:
	test/conformance/run --short

demo:
	test/setup demo
	@$(MAKE) --no-print-directory build
	bin/kube-router lab demo

# The documents as a site; Debian's mkdocs makes it.
site:
	mkdocs build --strict --quiet && rm -f bin/site/*.go bin/site/decisions/*.go

# What it costs: memory, start and one change of the program as it is delivered, each beside its goal, which docs/performance.md keeps (needs root);
# then every benchmark of the parts.
bench:
	go test -tags scale -count=1 -timeout 20m -v ./test/scale -page $(CURDIR)/docs/performance.md | grep -E '^(claim|[a-z0-9]+:|---|ok|FAIL)'
	go test -run '^$$' -bench . -benchmem ./internal/...

# Every fuzz target in turn: make fuzz TIME=10m, or only some: make fuzz TARGETS=Merge.
fuzz:
	test/fuzz $(or $(TIME),10m) $(TARGETS)

clean:
	rm -rf bin dist
