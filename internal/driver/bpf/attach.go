package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// errTooMany is what a full map says.
const errTooMany = unix.E2BIG

// What programs shows instead of a tag that could be wanted.
const (
	severed  = "severed"  // pinned, but the cgroup doesn't run it
	detached = "detached" // the program reads maps that are not pinned any more, or nobody knows which program it is
)

// programs are the pinned links, each with what the cgroup says about it.
func (k *pins) programs() ([]row.BpfProgram, error) {
	var list []row.BpfProgram
	for hook := row.BpfNoHook + 1; hook <= row.BpfHookMost; hook++ {
		there, err := k.pinned(linkPin(hook))
		if err != nil {
			return nil, err
		}
		if !there {
			continue
		}
		l, err := link.LoadPinnedLink(k.pin(linkPin(hook)), nil)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", k.pin(linkPin(hook)), err)
		}
		tag, err := k.state(hook, l)
		_ = l.Close()
		if err != nil {
			return nil, err
		}
		list = append(list, row.BpfProgram{Hook: hook, Target: k.cgroup, Tag: tag})
	}
	return list, nil
}

func linkPin(h row.BpfHook) string    { return h.String() + "_link" }
func programPin(h row.BpfHook) string { return h.String() + "_program" }

// hookOf is the hook whose link or program has the name.
func hookOf(name string) row.BpfHook {
	for hook := row.BpfNoHook + 1; hook <= row.BpfHookMost; hook++ {
		if name == linkPin(hook) || name == programPin(hook) {
			return hook
		}
	}
	return row.BpfNoHook
}

// state is the tag of the program that a link runs now.
func (k *pins) state(hook row.BpfHook, l link.Link) (string, error) {
	info, err := l.Info()
	if err != nil {
		return "", err
	}
	runs, err := k.runs(hook, info.Program)
	if err != nil || !runs {
		return severed, err
	}
	// A program is opened by its own pin: opening it by its number needs CAP_SYS_ADMIN.
	p, err := ebpf.LoadPinnedProgram(k.pin(programPin(hook)), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return detached, nil
	}
	if err != nil {
		return "", err
	}
	defer p.Close()
	about, err := p.Info()
	if err != nil {
		return "", err
	}
	prefix := hook.Program()
	if id, ok := about.ID(); !ok || id != info.Program || len(about.Name) <= len(prefix) || about.Name[:len(prefix)] != prefix || !k.reads(about) {
		return detached, nil
	}
	return about.Name[len(prefix):], nil
}

// runs asks the cgroup whether it runs a program. A link that is pinned may have been cut off (ENOLINK).
func (k *pins) runs(hook row.BpfHook, id ebpf.ProgramID) (bool, error) {
	at, err := os.Open(k.cgroup)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer at.Close()
	result, err := link.QueryPrograms(link.QueryOptions{Target: int(at.Fd()), Attach: attachType(hook)})
	if err != nil {
		return false, fmt.Errorf("ask cgroup %s for its programs: %w", k.cgroup, err)
	}
	return slices.ContainsFunc(result.Programs, func(p link.AttachedProgram) bool { return p.ID == id }), nil
}

// reads tells whether all that a program reads is pinned.
func (k *pins) reads(about *ebpf.ProgramInfo) bool {
	ids, ok := about.MapIDs()
	if !ok {
		return false
	}
	var pinned []ebpf.MapID
	for _, name := range mapNames() {
		if m, _ := k.open(name); m != nil {
			if info, err := m.Info(); err == nil {
				if id, ok := info.ID(); ok {
					pinned = append(pinned, id)
				}
			}
			_ = m.Close()
		}
	}
	return !slices.ContainsFunc(ids, func(id ebpf.MapID) bool { return !slices.Contains(pinned, id) })
}

// attach loads the program and puts it in the place of the one before, which serves until then.
func (k *pins) attach(p row.BpfProgram) error {
	code, ok := k.code(p)
	if !ok {
		return fmt.Errorf("this build has no program %s", p.Name())
	}
	if p.Target != k.cgroup {
		return fmt.Errorf("programs are attached to %s, not to %s", k.cgroup, p.Target)
	}
	program, err := k.load(p, code)
	if err != nil {
		return err
	}
	defer program.Close()
	if err := k.place(p.Hook, program); err != nil {
		return err
	}
	k.sweep()
	return k.renew()
}

// load loads a program with the maps that it names.
func (k *pins) load(p row.BpfProgram, code asm.Instructions) (*ebpf.Program, error) {
	maps, err := k.maps(code)
	defer func() { // the instructions hold them open until the program has been loaded
		for _, m := range maps {
			_ = m.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	return compile(p, code)
}

// compile lets the kernel verify a program that is tied to its maps.
func compile(p row.BpfProgram, code asm.Instructions) (*ebpf.Program, error) {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: p.Name(), Type: ebpf.CGroupSockAddr, AttachType: attachType(p.Hook), Instructions: code, License: "Apache-2.0",
	})
	if err != nil {
		return nil, fmt.Errorf("load program %s: %w", p.Name(), err)
	}
	return program, nil
}

// try loads a program and attaches it for a moment.
func (k *pins) try(p row.BpfProgram, code asm.Instructions) error {
	program, err := compile(p, code)
	if err != nil {
		return err
	}
	defer program.Close()
	l, err := k.tie(p.Hook, program)
	if err != nil {
		return err
	}
	return l.Close()
}

// maps opens the maps that a program names, and ties it to them.
func (k *pins) maps(code asm.Instructions) (map[string]*ebpf.Map, error) {
	maps := map[string]*ebpf.Map{}
	for _, ins := range code {
		name := ins.Reference()
		if !ins.IsLoadFromMap() || name == "" || maps[name] != nil {
			continue
		}
		m, err := k.make(name)
		if err != nil {
			return maps, err
		}
		maps[name] = m
		if err := code.AssociateMap(name, m); err != nil {
			return maps, err
		}
	}
	return maps, nil
}

// place lets the hook run the program from now on, and pins it.
func (k *pins) place(hook row.BpfHook, program *ebpf.Program) error {
	l, err := link.LoadPinnedLink(k.pin(linkPin(hook)), nil)
	if err == nil {
		defer l.Close()
		if info, err := l.Info(); err == nil {
			if runs, err := k.runs(hook, info.Program); err == nil && runs && l.Update(program) == nil {
				return k.keep(program, programPin(hook))
			}
		}
	}
	made, err := k.tie(hook, program)
	if err != nil {
		return err
	}
	defer made.Close()
	if err := k.keep(program, programPin(hook)); err != nil {
		return err
	}
	return k.keep(made, linkPin(hook))
}

// tie lets the cgroup run a program for as long as the link is held by somebody, beside the programs of others.
func (k *pins) tie(hook row.BpfHook, program *ebpf.Program) (*link.RawLink, error) {
	at, err := os.Open(k.cgroup)
	if err != nil {
		return nil, fmt.Errorf("--cgroup-root: %w", err)
	}
	defer at.Close()
	l, err := link.AttachRawLink(link.RawLinkOptions{Target: int(at.Fd()), Program: program, Attach: attachType(hook)})
	if err != nil {
		return nil, fmt.Errorf("attach to cgroup %s: %w", k.cgroup, err)
	}
	return l, nil
}

// keep pins something in place of what has the name now, at no moment neither of them.
func (k *pins) keep(what interface{ Pin(string) error }, name string) error {
	_ = os.Remove(k.pin(name + "_new")) // of a life that ended here
	if err := what.Pin(k.pin(name + "_new")); err != nil {
		return fmt.Errorf("pin %s: %w", name, err)
	}
	return os.Rename(k.pin(name+"_new"), k.pin(name))
}

// detach ends what the hook runs of ours. Without its pin a link would go too, but some time later.
func (k *pins) detach(hook row.BpfHook) error {
	var errs error
	if l, err := link.LoadPinnedLink(k.pin(linkPin(hook)), nil); err == nil {
		errs = l.Detach()
		_ = l.Close()
	}
	for _, name := range []string{linkPin(hook), programPin(hook)} {
		if err := os.Remove(k.pin(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = errors.Join(errs, err)
		}
	}
	return errs
}
