package bpf

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"kube-router/internal/row"
)

// The maps that programs write themselves. They have no rows.
const (
	mapPeer   = "kr_peer"   // of each socket: the frontend that it asked for, and the endpoint that it got
	mapCount4 = "kr_count4" // frontend → connects, and connects that were left to packets
	mapCount6 = "kr_count6"
	mapLease  = "kr_lease" // until when the programs may serve
)

// The fields of the context of a program at connect() or getpeername(): struct bpf_sock_addr (linux/bpf.h). Addresses and ports are in
// network order.
const (
	ctxIP4      = 4
	ctxIP6      = 8
	ctxPort     = 24
	ctxProtocol = 36
	ctxSocket   = 64
)

// The place of things on the program's stack, from its end.
const (
	stackKey    = -24 // frontend, and the slot after it
	stackCookie = -32
	stackZero   = -48 // a new counter
	stackFirst  = -52 // 0, the key of the lease
	stackValue  = -72 // the backend
)

// What mapPeer holds, in bytes: two addresses as IPv6 has them, and their ports.
const (
	peerFront   = 0
	peerBackend = 16
	peerFPort   = 32
	peerBPort   = 34
	peerSize    = 36
)

const protoTCP = 6

// family is how a program serves one address family.
type family struct {
	name         string // what labels begin with
	heads, slots row.BpfMap
	count        string
	words        int16 // of an address
	ctx          int16 // where the context has the address
	peer         int16 // where an address has these words, as IPv6 has them
}

func family4() family { return family{"v4", row.BpfHeads4, row.BpfSlots4, mapCount4, 1, ctxIP4, 12} }
func family6() family { return family{"v6", row.BpfHeads6, row.BpfSlots6, mapCount6, 4, ctxIP6, 0} }

// mapped is IPv4 in the form that a socket of IPv6 has it in: ::ffff:a.b.c.d.
func mapped() family {
	return family{"mapped", row.BpfHeads4, row.BpfSlots4, mapCount4, 1, ctxIP6 + 12, 12}
}

// Programs are the instructions for each hook, as this build has them.
func Programs() map[row.BpfHook]asm.Instructions {
	return map[row.BpfHook]asm.Instructions{
		row.BpfConnect4:     connect4(),
		row.BpfConnect6:     connect6(),
		row.BpfGetpeername4: getpeername(family4()),
		row.BpfGetpeername6: getpeername(family6()),
	}
}

// Tags are the tags of Programs.
func Tags() map[row.BpfHook]string {
	tags := map[row.BpfHook]string{}
	for hook, code := range Programs() {
		tags[hook] = tagOf(code)
	}
	return tags
}

// tagOf is a digest of a program's text.
func tagOf(code asm.Instructions) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%v", code))
	return hex.EncodeToString(sum[:4])
}

// attachTypes are the kernel's names of the hooks.
func attachType(h row.BpfHook) ebpf.AttachType {
	switch h {
	case row.BpfConnect4:
		return ebpf.AttachCGroupInet4Connect
	case row.BpfConnect6:
		return ebpf.AttachCGroupInet6Connect
	case row.BpfGetpeername4:
		return ebpf.AttachCgroupInet4GetPeername
	case row.BpfGetpeername6:
		return ebpf.AttachCgroupInet6GetPeername
	}
	return ebpf.AttachNone
}

// mapPtr loads a map that is named when the program is loaded.
func mapPtr(dst asm.Register, name string) asm.Instruction {
	return asm.LoadMapPtr(dst, 0).WithReference(name)
}

// lookup looks for a key on the stack. R0 is then the value, or 0.
func lookup(name string, at int32) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, at),
		mapPtr(asm.R1, name),
		asm.FnMapLookupElem.Call(),
	}
}

func connect4() asm.Instructions {
	code := begin()
	code = append(code, serve(family4())...)
	return append(code, leave()...)
}

func connect6() asm.Instructions {
	code := append(begin(), // IPv4 in the form of IPv6?
		asm.LoadMem(asm.R1, asm.R6, ctxIP6, asm.Word),
		asm.JNE.Imm(asm.R1, 0, "v6"),
		asm.LoadMem(asm.R1, asm.R6, ctxIP6+4, asm.Word),
		asm.JNE.Imm(asm.R1, 0, "v6"),
		asm.LoadMem(asm.R1, asm.R6, ctxIP6+8, asm.Word),
		asm.HostTo(asm.BE, asm.R1, asm.Word),
		asm.JNE.Imm(asm.R1, 0xffff, "v6"),
	)
	code = append(code, serve(mapped())...)
	code = append(code, label("v6", serve(family6()))...)
	return append(code, leave()...)
}

// begin keeps the context, and lets everything pass that is no TCP.
func begin() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R1, asm.R6, ctxProtocol, asm.Word),
		asm.JNE.Imm(asm.R1, protoTCP, "out"),
	}
}

// leave is where programs at connect() end: "forget" lets a socket forget what an earlier connect() of it got. 1 says that connect()
// goes on.
func leave() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R2, asm.R6, ctxSocket, asm.DWord).WithSymbol("forget"),
		mapPtr(asm.R1, mapPeer),
		asm.FnSkStorageDelete.Call(),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("out"),
		asm.Return(),
	}
}

func label(name string, code asm.Instructions) asm.Instructions {
	code[0] = code[0].WithSymbol(name)
	return code
}

// front puts the frontend that the socket asks for on the stack, as a key of heads has it. R0 is spent.
func (f family) front() asm.Instructions {
	var code asm.Instructions
	for i := range f.words {
		code = append(code, asm.LoadMem(asm.R1, asm.R6, f.ctx+4*i, asm.Word), asm.StoreMem(asm.RFP, stackKey+4*i, asm.R1, asm.Word))
	}
	port := stackKey + 4*f.words
	return append(code,
		asm.LoadMem(asm.R1, asm.R6, ctxPort, asm.Word),
		asm.StoreMem(asm.RFP, port, asm.R1, asm.Half),
		asm.StoreImm(asm.RFP, port+2, protoTCP, asm.Byte),
		asm.StoreImm(asm.RFP, port+3, 0, asm.Byte),
	)
}

// serve turns connect() to a frontend into connect() to one of its backends. What it doesn't know goes on as it came.
func serve(f family) asm.Instructions {
	fall, end := f.name+"-fall", "forget"
	code := f.front()
	code = append(code, lookup(f.heads.String(), stackKey)...)
	code = append(code,
		asm.JEq.Imm(asm.R0, 0, end), // of most connections: no frontend
		asm.LoadMem(asm.R7, asm.R0, 0, asm.Word),
		asm.JEq.Imm(asm.R7, 0, fall),
	)
	code = append(code, asked(fall)...)
	code = append(code,
		asm.FnGetPrandomU32.Call(),
		asm.Mod.Reg32(asm.R0, asm.R7),
		asm.StoreMem(asm.RFP, stackKey+4*f.words+4, asm.R0, asm.Word),
	)
	code = append(code, f.backend(fall)...)
	code = append(code, f.remember(fall)...)
	for i := range f.words {
		code = append(code, asm.LoadMem(asm.R1, asm.RFP, stackValue+4*i, asm.Word), asm.StoreMem(asm.R6, f.ctx+4*i, asm.R1, asm.Word))
	}
	code = append(code,
		asm.LoadMem(asm.R1, asm.RFP, stackValue+4*f.words, asm.Half),
		asm.StoreMem(asm.R6, ctxPort, asm.R1, asm.Word),
		asm.Mov.Imm(asm.R7, 0),
		asm.Ja.Label(f.name+"-count"),
		asm.Mov.Imm(asm.R7, 8).WithSymbol(fall),
	)
	return append(code, f.counting()...)
}

// asked goes on if the socket is in a network namespace that is served, and the daemon has said so lately.
func asked(fall string) asm.Instructions {
	code := asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.FnGetNetnsCookie.Call(),
		asm.StoreMem(asm.RFP, stackCookie, asm.R0, asm.DWord),
	}
	code = append(code, lookup(row.BpfNetns.String(), stackCookie)...)
	code = append(code, asm.JEq.Imm(asm.R0, 0, fall), asm.StoreImm(asm.RFP, stackFirst, 0, asm.Word))
	code = append(code, lookup(mapLease, stackFirst)...)
	return append(code,
		asm.JEq.Imm(asm.R0, 0, fall),
		asm.LoadMem(asm.R8, asm.R0, 0, asm.DWord),
		asm.FnKtimeGetBootNs.Call(),
		asm.JGT.Reg(asm.R0, asm.R8, fall),
	)
}

// backend copies the backend of the slot to the stack. It reads it twice: the kernel may use the memory of an entry that was replaced
// for another one at once, so that one reading may be of another frontend's.
func (f family) backend(fall string) asm.Instructions {
	code := append(lookup(f.slots.String(), stackKey), asm.JEq.Imm(asm.R0, 0, fall))
	for i := range f.words + 1 {
		code = append(code, asm.LoadMem(asm.R1, asm.R0, 4*i, asm.Word), asm.StoreMem(asm.RFP, stackValue+4*i, asm.R1, asm.Word))
	}
	code = append(code, lookup(f.slots.String(), stackKey)...)
	code = append(code, asm.JEq.Imm(asm.R0, 0, fall))
	for i := range f.words + 1 {
		code = append(code,
			asm.LoadMem(asm.R1, asm.R0, 4*i, asm.Word),
			asm.LoadMem(asm.R2, asm.RFP, stackValue+4*i, asm.Word),
			asm.JNE.Reg(asm.R1, asm.R2, fall),
		)
	}
	return code
}

// remember keeps frontend and backend beside the socket, for getpeername(). Without memory for that it is left to packets.
func (f family) remember(fall string) asm.Instructions {
	code := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R6, ctxSocket, asm.DWord),
		mapPtr(asm.R1, mapPeer),
		asm.Mov.Imm(asm.R3, 0),
		asm.Mov.Imm(asm.R4, 1), // BPF_SK_STORAGE_GET_F_CREATE
		asm.FnSkStorageGet.Call(),
		asm.JEq.Imm(asm.R0, 0, fall),
	}
	for _, part := range []struct{ at, from, port int16 }{{peerFront, stackKey, peerFPort}, {peerBackend, stackValue, peerBPort}} {
		if f.words == 1 { // ::ffff:
			code = append(code,
				asm.Mov.Imm(asm.R1, 0),
				asm.StoreMem(asm.R0, part.at, asm.R1, asm.DWord),
				asm.Mov.Imm(asm.R1, 0xffff),
				asm.HostTo(asm.BE, asm.R1, asm.Word),
				asm.StoreMem(asm.R0, part.at+8, asm.R1, asm.Word),
			)
		}
		for i := range f.words {
			code = append(code, asm.LoadMem(asm.R1, asm.RFP, part.from+4*i, asm.Word), asm.StoreMem(asm.R0, part.at+f.peer+4*i, asm.R1, asm.Word))
		}
		code = append(code, asm.LoadMem(asm.R1, asm.RFP, part.from+4*f.words, asm.Half), asm.StoreMem(asm.R0, part.port, asm.R1, asm.Half))
	}
	return code
}

// counting adds one to the first of the frontend's counters if R7 is 0: it was served; else to the second. The first one makes them.
func (f family) counting() asm.Instructions {
	have, fell := f.name+"-have", f.name+"-fell"
	code := label(f.name+"-count", lookup(f.count, stackKey))
	code = append(code,
		asm.JNE.Imm(asm.R0, 0, have),
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.RFP, stackZero, asm.R1, asm.DWord),
		asm.StoreMem(asm.RFP, stackZero+8, asm.R1, asm.DWord),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, stackKey),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, stackZero),
		asm.Mov.Imm(asm.R4, 1), // BPF_NOEXIST
		mapPtr(asm.R1, f.count),
		asm.FnMapUpdateElem.Call(),
	)
	code = append(code, lookup(f.count, stackKey)...)
	return append(code,
		asm.JEq.Imm(asm.R0, 0, f.name+"-uncounted"), // there is no room for another one
		asm.Mov.Imm(asm.R1, 1).WithSymbol(have),
		asm.JNE.Imm(asm.R7, 0, fell),
		asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, 0),
		asm.Ja.Label("out"),
		asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, 8).WithSymbol(fell),
		asm.Ja.Label("forget"),
		asm.JEq.Imm(asm.R7, 0, "out").WithSymbol(f.name+"-uncounted"),
		asm.Ja.Label("forget"),
	)
}

// getpeername shows the frontend that the socket asked for, if its peer is the backend that it got.
func getpeername(f family) asm.Instructions {
	code := append(begin(),
		asm.LoadMem(asm.R2, asm.R6, ctxSocket, asm.DWord),
		mapPtr(asm.R1, mapPeer),
		asm.Mov.Imm(asm.R3, 0),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnSkStorageGet.Call(),
		asm.JEq.Imm(asm.R0, 0, "out"),
		asm.LoadMem(asm.R1, asm.R0, peerBPort, asm.Half),
		asm.LoadMem(asm.R2, asm.R6, ctxPort, asm.Word),
		asm.And.Imm(asm.R2, 0xffff),
		asm.JNE.Reg(asm.R1, asm.R2, "out"),
	)
	for i := range f.words {
		code = append(code,
			asm.LoadMem(asm.R1, asm.R0, peerBackend+f.peer+4*i, asm.Word),
			asm.LoadMem(asm.R2, asm.R6, f.ctx+4*i, asm.Word),
			asm.JNE.Reg(asm.R1, asm.R2, "out"),
		)
	}
	for i := range f.words {
		code = append(code, asm.LoadMem(asm.R1, asm.R0, peerFront+f.peer+4*i, asm.Word), asm.StoreMem(asm.R6, f.ctx+4*i, asm.R1, asm.Word))
	}
	return append(code,
		asm.LoadMem(asm.R1, asm.R0, peerFPort, asm.Half),
		asm.StoreMem(asm.R6, ctxPort, asm.R1, asm.Word),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("out"),
		asm.Return(),
	)
}
