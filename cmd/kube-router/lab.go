package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kube-router/internal/lab"
)

// labOptions are the flags of the commands that start a lab.
type labOptions struct {
	lab.Config
	topology  string
	manifests []string
}

func labCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Run a whole cluster on this machine: nodes in network namespaces, real daemons, real packets",
		Long: `Run a whole cluster on this machine. Each node is a set of namespaces with the real kube-router as a real process;
pods are connected by the CNI plugins that it configures; the API server, kubelet and controllers are small stand-ins. Needs root.`,
	}
	cmd.AddCommand(labUp(), labCheck(), labDown(), labExec(), labProbe(), labList(), labDemo(), labUI(), labServe(), labHidden("hold"), labHidden("pod-server"))
	return cmd
}

func (o *labOptions) flags(cmd *cobra.Command) {
	o.DaemonPods = true
	f := cmd.Flags()
	f.StringVar(&o.Name, "name", "lab", "the lab's name; several can run at once")
	f.IntVar(&o.Nodes, "nodes", 3, "how many nodes")
	f.StringVar(&o.topology, "topology", "switch", "switch: all nodes in one subnet; routed: in several subnets joined by a router")
	f.IntVar(&o.Subnets, "subnets", 2, "how many subnets a routed topology has")
	f.IntVar(&o.MTU, "mtu", 1500, "MTU of the links")
	f.IntVar(&o.Zones, "zones", 1, "over how many zones the nodes are spread")
	f.StringVar(&o.Daemon, "binary", "", "the kube-router to run on the nodes (default this one)")
	f.StringArrayVar(&o.DaemonArgs, "kube-router-arg", nil, "flag for every kube-router, such as --kube-router-arg=--hairpin-mode; may be repeated")
	f.BoolVar(&o.NoDaemon, "no-daemon", false, "run no kube-router; nodes stay without a network until something else writes their CNI configuration")
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", "use this API server instead of the lab's own")
	f.StringVar(&o.Plugins, "cni-plugins", "", "directory of the CNI reference plugins (default: built once from source)")
	f.StringArrayVar(&o.manifests, "manifest", nil, "YAML file to apply, - for standard input; may be repeated (default: the demo)")
}

func nameFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "name", "", "the lab's name (default: the one that there is)")
}

// attach visits the lab of that name; without one, the only lab of this machine.
func attach(ctx context.Context, name string) (*lab.Lab, error) {
	name, err := one(name)
	if err != nil {
		return nil, err
	}
	return lab.Attach(ctx, name)
}

// one is the lab that is meant.
func one(name string) (string, error) {
	here := lab.Running()
	switch {
	case name != "":
		return name, nil
	case len(here) == 0:
		return "", errors.New("no lab is running; `kube-router lab up` starts one")
	case len(here) > 1:
		return "", fmt.Errorf("which lab? There are %s; say --name", strings.Join(here, ", "))
	}
	return here[0], nil
}

// check refuses what the lab would take for "not said", and puts the topology's subnets in.
func (o *labOptions) check() error {
	for flag, value := range map[string]int{"nodes": o.Nodes, "subnets": o.Subnets, "mtu": o.MTU, "zones": o.Zones} {
		if value < 1 {
			return fmt.Errorf("--%s=%d: want at least 1", flag, value)
		}
	}
	if o.Daemon == "" { // another one may not know the flag
		o.DaemonArgs = append([]string{"--flows=all"}, o.DaemonArgs...) // so that `lab ui` has a picture
	}
	switch o.topology {
	case "switch":
		o.Subnets = 1
	case "routed":
	default:
		return fmt.Errorf("topology %q: want switch or routed", o.topology)
	}
	return nil
}

// up starts the lab, applies what it is to run, and waits until that is ready. What is wrong with the flags or a manifest is said before
// anything is made, or else nothing is left; but pods that don't become ready can be looked at. started is true if a lab is left.
func (o *labOptions) up(ctx context.Context) (started bool, err error) {
	if err := o.check(); err != nil {
		return false, err
	}
	manifests := []string{lab.Demo}
	if len(o.manifests) > 0 {
		manifests = nil
	}
	for _, path := range o.manifests {
		text, err := readManifest(path)
		if err == nil {
			err = lab.CheckManifest(text)
		}
		if err != nil {
			return false, fmt.Errorf("manifest %s: %w", path, err)
		}
		manifests = append(manifests, text)
	}
	begun := time.Now()
	fmt.Printf("starting lab %q: %d nodes\n", o.Name, o.Nodes)
	if err := lab.Up(ctx, o.Config, func(stage string) { fmt.Println("  " + stage) }); err != nil {
		return false, err
	}
	if err := o.apply(ctx, manifests); err != nil {
		return false, errors.Join(err, lab.Down(o.Name))
	}
	return true, o.ready(ctx, begun)
}

func (o *labOptions) apply(ctx context.Context, manifests []string) error {
	l, err := lab.Attach(ctx, o.Name)
	if err != nil {
		return err
	}
	defer l.Close()
	for _, text := range manifests {
		if err := l.Apply(ctx, text); err != nil {
			return fmt.Errorf("manifest: %w", err)
		}
	}
	return nil
}

func (o *labOptions) ready(ctx context.Context, begun time.Time) error {
	l, err := lab.Attach(ctx, o.Name)
	if err != nil {
		return err
	}
	defer l.Close()
	stage := time.Now()
	if !o.NoDaemon {
		if err := waitReady(ctx, l); err != nil {
			l.Logs(os.Stderr, 20)
			return fmt.Errorf("%w\nlogs are in %s/n*/daemon.log and %s.log", err, l.Dir(), l.Dir())
		}
		fmt.Printf("  %-28s %6.2f s\n", "pods", time.Since(stage).Seconds())
	}
	fmt.Printf("up after %.1f s; KUBECONFIG=%s\n", time.Since(begun).Seconds(), l.Kubeconfig())
	return nil
}

// waitReady waits two minutes for the pods, and says every ten seconds what it waits for.
func waitReady(ctx context.Context, l *lab.Lab) error {
	for range 11 {
		turn, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := l.WaitReady(turn)
		cancel()
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		_, waiting, _ := strings.Cut(err.Error(), "still ")
		fmt.Printf("  still %s\n", waiting)
	}
	last, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return l.WaitReady(last)
}

func readManifest(path string) (string, error) {
	if path == "-" {
		text, err := io.ReadAll(os.Stdin)
		return string(text), err
	}
	text, err := os.ReadFile(path)
	return string(text), err
}

func labUp() *cobra.Command {
	var o labOptions
	cmd := &cobra.Command{
		Use: "up", Short: "Start a lab and leave it running", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := o.up(cmd.Context()); err != nil {
				return err
			}
			lookAround(o.Name)
			return nil
		},
	}
	o.flags(cmd)
	return cmd
}

func labDemo() *cobra.Command {
	var o labOptions
	cmd := &cobra.Command{
		Use: "demo", Short: "Start a lab, check it with real packets, and take it down again (KEEP=1 leaves it up)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keep := os.Getenv("KEEP") == "1"
			started, err := o.up(cmd.Context())
			var verdict string
			if err == nil {
				verdict, err = checkLab(cmd.Context(), o.Name)
				lookAround(o.Name)
			}
			if started && !keep {
				err = errors.Join(err, lab.Down(o.Name))
				fmt.Println("taken down; KEEP=1 leaves it up")
			}
			if verdict != "" {
				fmt.Println(verdict)
			}
			return err
		},
	}
	o.flags(cmd)
	o.Name = "demo"
	cmd.Flags().Lookup("name").DefValue = "demo"
	return cmd
}

func labCheck() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "check", Short: "Check a running lab's demo with real packets", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			verdict, err := checkLab(cmd.Context(), name)
			if verdict != "" {
				fmt.Println(verdict)
			}
			return err
		},
	}
	nameFlag(cmd, &name)
	return cmd
}

// checkLab prints the table of probes as they pass and returns the closing line.
func checkLab(ctx context.Context, name string) (verdict string, err error) {
	l, err := attach(ctx, name)
	if err != nil {
		return "", err
	}
	defer l.Close()
	passed, failed, err := l.Check(ctx, 20*time.Second, func(f lab.Finding) {
		mark, saw := "pass", f.Saw
		if f.Err != nil {
			mark, saw = "FAIL", f.Err.Error()
		}
		fmt.Printf("%s  %s  %-22s %-26s → %-26s %s\n", mark, f.Family, f.What, strings.TrimPrefix(f.From, "default/"), strings.TrimPrefix(f.To, "default/"), saw)
	})
	if err != nil {
		return "", err
	}
	verdict = fmt.Sprintf("demo: %d passed, %d failed", passed, failed)
	if failed > 0 {
		return verdict, exitCode(1)
	}
	return verdict, nil
}

func labDown() *cobra.Command {
	var name string
	var all bool
	cmd := &cobra.Command{
		Use: "down", Short: "Take a lab down, whoever started it and whatever became of him", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if !all {
				the, err := one(name)
				if err != nil {
					return err
				}
				return lab.Down(the)
			}
			var err error
			for _, name := range lab.Running() {
				err = errors.Join(err, lab.Down(name))
			}
			return err
		},
	}
	nameFlag(cmd, &name)
	cmd.Flags().BoolVar(&all, "all", false, "every lab of this machine")
	return cmd
}

func labList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the labs of this machine", Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			for _, name := range lab.Running() {
				state := "abandoned; \"lab down\" removes it"
				if pid := lab.Owner(name); pid != 0 {
					state = fmt.Sprintf("run by process %d", pid)
				}
				fmt.Printf("%-20s %s\n", name, state)
			}
		},
	}
}

func labExec() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "exec NODE|outside|[NAMESPACE/]POD -- COMMAND [ARG...]", Short: "Run a command on a lab's node, pod or host", Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := attach(cmd.Context(), name)
			if err != nil {
				return err
			}
			defer l.Close()
			host := l.FindHost(args[0])
			if host == nil {
				return fmt.Errorf("the lab has no node, host or running pod %q", args[0])
			}
			if line := args[1:]; line[0] == "--" && len(line) > 1 {
				args = args[1:]
			}
			if self, failure := os.Executable(); failure == nil { // so that "exec n1 -- kube-router show" is this one
				os.Setenv("PATH", filepath.Dir(self)+":"+os.Getenv("PATH"))
			}
			run := host.Command(cmd.Context(), args[1], args[2:]...)
			run.Stdin, run.Stdout, run.Stderr = os.Stdin, os.Stdout, os.Stderr
			err = run.Run()
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				return exitCode(max(exit.ExitCode(), 1))
			}
			return err
		},
	}
	cmd.Flags().SetInterspersed(false)
	nameFlag(cmd, &name)
	return cmd
}

// labServe is the background process of a lab.
func labServe() *cobra.Command {
	return &cobra.Command{
		Use: "serve CONFIG", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return lab.Serve(cmd.Context(), args[0]) },
	}
}

// labHidden are the parts that the lab starts this program as; see lab.Main.
func labHidden(part string) *cobra.Command {
	return &cobra.Command{
		Use: part, Hidden: true, DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			if code := lab.Main(func() int { return 2 }); code != 0 {
				return exitCode(code)
			}
			return nil
		},
	}
}

// lookAround says what one can do with a lab that is up.
func lookAround(name string) {
	self := "kube-router lab"
	in := ""
	if len(lab.Running()) > 1 {
		in = " --name " + name
	}
	fmt.Printf(`look around:
  export KUBECONFIG=%s/kubeconfig; kubectl get pods,services -o wide
  %s exec%s n1 -- ip route
  %s exec%s n1 -- nft list ruleset
  %s exec%s n1 -- kube-router show
  %s exec%s outside -- curl -s http://172.30.0.11:NODEPORT/
  %s ui%s
  %s check%s; %s down%s
`, lab.Dir(name), self, in, self, in, self, in, self, in, self, in, self, in, self, in)
}
