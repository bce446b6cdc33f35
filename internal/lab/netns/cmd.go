package netns

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
)

// Cmd is an exec.Cmd that starts in other namespaces. Use its own Start, Run, Output and CombinedOutput.
type Cmd struct {
	*exec.Cmd
	enter func(func() error) error
}

// Command prepares a program to run in the network namespace, with the caller's mounts and processes.
func (s *Space) Command(ctx context.Context, name string, args ...string) *Cmd {
	return &Cmd{Cmd: exec.CommandContext(ctx, name, args...), enter: s.Do}
}

// Start starts the program; see exec.Cmd.
func (c *Cmd) Start() error { return c.enter(c.Cmd.Start) }

// Run starts the program and waits for it.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the program and returns what it wrote to standard output; what it wrote to standard error is in the *exec.ExitError.
func (c *Cmd) Output() ([]byte, error) {
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		exit.Stderr = errs.Bytes()
	}
	return out.Bytes(), err
}

// CombinedOutput runs the program and returns what it wrote to standard output and error.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}
