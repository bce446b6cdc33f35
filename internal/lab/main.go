package lab

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/lab/netns"
	"kube-router/internal/lab/podserver"
)

// Main must be called first by every program that starts labs, test programs included: "os.Exit(lab.Main(m.Run))". The lab starts that
// program again for its own purposes, with arguments that Main knows: then it does what they say, otherwise it calls run. It returns
// the exit code.
func Main(run func() int) int {
	if len(os.Args) < 3 || os.Args[1] != "lab" {
		return run()
	}
	var err error
	switch os.Args[2] {
	case "hold":
		if len(os.Args) != 5 {
			return 2
		}
		err = netns.Hold(os.Args[3], os.Args[4])
	case "pod-server":
		err = PodServer(os.Args[3:])
	default:
		return run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func podServerCommand() []string {
	self, err := os.Executable()
	if err != nil {
		self = "/proc/self/exe"
	}
	return []string{self, "lab", "pod-server"}
}

// PodServer runs a pod's server until it is asked to end (SIGTERM); then open connections may finish.
func PodServer(args []string) error {
	var config podserver.Config
	flags := flag.NewFlagSet("pod-server", flag.ContinueOnError)
	flags.StringVar(&config.Pod, "pod", "", "namespace/name to answer with")
	flags.StringVar(&config.Node, "node", "", "node to answer with")
	grace := flags.Duration("grace", time.Hour, "how long connections may go on after SIGTERM")
	for name, list := range map[string]*[]uint16{"tcp": &config.TCP, "udp": &config.UDP, "sctp": &config.SCTP} {
		flags.Func(name, "port to answer at; may be repeated", func(text string) error {
			port, err := strconv.ParseUint(text, 10, 16)
			*list = append(*list, uint16(port))
			return err
		})
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	server, err := podserver.Listen(config)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.Background(), *grace)
	defer cancel()
	server.Drain(last)
	return nil
}
