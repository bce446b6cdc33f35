package kubelet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/lab/podserver"
)

// DefaultPort is where every pod answers, beside the ports that it declares.
const DefaultPort = 8080

// GreetPort is the name of a container's port that sends the pod's name to whoever connects (podserver.Config, not in a process of its own).
const GreetPort = "greet"

// server is a pod's server, in this process or in one of its own.
type server struct {
	inside  *podserver.Server
	process *exec.Cmd
	done    chan struct{}
}

// serve starts the pod's server. A hostNetwork pod shares its ports with others and opens only those that it declares.
func (p *Pod) serve() (server, error) {
	config := podserver.Config{Pod: p.Name(), Node: p.Node()}
	add := func(protocol corev1.Protocol, port uint16) {
		list := map[corev1.Protocol]*[]uint16{corev1.ProtocolUDP: &config.UDP, corev1.ProtocolSCTP: &config.SCTP}[protocol]
		if list == nil {
			list = &config.TCP
		}
		if !slices.Contains(*list, port) {
			*list = append(*list, port)
		}
	}
	if !p.first.Spec.HostNetwork {
		for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP} {
			add(protocol, DefaultPort)
		}
	}
	for _, c := range p.first.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == GreetPort {
				config.Greet = append(config.Greet, uint16(port.ContainerPort))
				continue
			}
			add(port.Protocol, uint16(port.ContainerPort))
		}
	}
	if p.first.Annotations[ProcessAnnotation] == "true" {
		return p.spawn(config)
	}
	var s server
	err := p.space.Do(func() (err error) {
		s.inside, err = podserver.Listen(config)
		return err
	})
	return s, err
}

func (p *Pod) spawn(config podserver.Config) (server, error) {
	line := append(p.kubelet.Self(), "--pod", config.Pod, "--node", config.Node)
	for flag, ports := range map[string][]uint16{"--tcp": config.TCP, "--udp": config.UDP, "--sctp": config.SCTP} {
		for _, port := range ports {
			line = append(line, flag, fmt.Sprint(port))
		}
	}
	cmd := p.Machine().Command(context.Background(), p.space, line[0], line[1:]...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return server{}, err
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil { // it says a line when it listens
		cmd.Process.Kill()
		return server{}, errors.Join(fmt.Errorf("pod server: %s", errs.String()), cmd.Wait())
	}
	s := server{process: cmd.Cmd, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		if err := cmd.Wait(); err != nil && p.kubelet.run.Err() == nil {
			p.kubelet.Log.Info("pod server ended", "pod", config.Pod, "error", err, "said", errs.String())
		}
	}()
	return s, nil
}

// drain asks the server to finish and waits until it has or the context ends.
func (s server) drain(ctx context.Context) {
	switch {
	case s.inside != nil:
		s.inside.Drain(ctx)
	case s.process != nil:
		s.process.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.done:
		case <-ctx.Done():
		}
	}
}

// close ends the server at once.
func (s server) close() {
	switch {
	case s.inside != nil:
		s.inside.Close()
	case s.process != nil:
		s.process.Process.Kill()
		<-s.done
	}
}
