package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The words with which the process that runs a lab tells the one that started it how it goes.
const (
	saysReady = "ready"
	saysError = "error: "
)

// Up starts a lab in a process of its own, which lives on when this one ends, and returns when it is up. Each stage is told as it is
// done. If the context ends first, or the lab fails, nothing is left.
func Up(ctx context.Context, config Config, tell func(stage string)) error {
	if err := config.complete(); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	if pid := Owner(config.Name); pid != 0 {
		return fmt.Errorf("lab %s is up already, run by process %d; take it down first, or choose another name", config.Name, pid)
	}
	if err := Down(config.Name); err != nil {
		return err
	}
	text, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	if err = os.MkdirAll(root, 0o755); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	log, err := os.Create(logPath(config.Name))
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	defer log.Close()
	// What our caller has open, a lock for instance, must not stay open with the lab.
	if err = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	cmd := exec.Command("/proc/self/exe", "lab", "serve", string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	err = listen(out, tell)
	if err != nil {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait() // its exit code tells no more than it said
		return errors.Join(err, ctx.Err(), Down(config.Name))
	}
	return cmd.Process.Release()
}

// listen passes on what the lab's process says until it is ready.
func listen(out io.Reader, tell func(string)) error {
	lines := bufio.NewReader(out)
	var said strings.Builder
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return fmt.Errorf("the lab's process ended before the lab was up: %s", said.String())
		}
		line = strings.TrimSuffix(line, "\n")
		if reason, bad := strings.CutPrefix(line, saysError); bad {
			rest, _ := io.ReadAll(lines)
			return errors.New(strings.TrimSpace(reason + "\n" + string(rest)))
		}
		if line == saysReady {
			return nil
		}
		tell(line)
	}
}

// Serve runs the lab that the JSON text describes until the process is asked to end.
func Serve(ctx context.Context, text string) error {
	var config Config
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	config.Progress = func(stage string, took time.Duration) {
		fmt.Printf("%-28s %6.2f s\n", stage, took.Seconds())
	}
	starting, cancel := context.WithTimeout(ctx, 5*time.Minute) // building the plugins on a slow machine included
	l, err := Start(starting, config)
	cancel()
	if err != nil {
		fmt.Printf("%s%v\n", saysError, err)
		return err
	}
	fmt.Println(saysReady)
	os.Stdout.Close()
	<-ctx.Done()
	return l.Close()
}

func logPath(name string) string { return filepath.Join(root, name+".log") }

// Dir is where the lab of that name keeps its state.
func Dir(name string) string { return filepath.Join(root, name) }
