package model

// Engine is the dataplane that carries Services.
type Engine string

// The service engines. EngineAuto is resolved at start, before a plan sees it.
const (
	EngineAuto     Engine = "auto"
	EngineIPVS     Engine = "ipvs"
	EngineNftables Engine = "nftables"
)

// Abilities are what plans must know of an engine. The zero value is that of a program that we know nothing of.
type Abilities struct {
	Translates  Moment // when a packet to a frontend gets its endpoint's address
	Direct      bool   // replies may go straight from the pods (direct server return)
	AsksPods    bool   // it asks the endpoints' pods: how long they may take to go, whether they have a network of their own
	Schedulers  bool   // schedulers are modules of the kernel, of which it may lack some
	OwnTimeouts bool   // connections have timeouts of its own, and endpoints that go may be held for connections that they have
}

// Moment is when a packet to a frontend is translated, seen from policies, which judge endpoints.
type Moment uint8

// The moments of translation.
const (
	SomeTime Moment = iota // unknown: another program's
	Before                 // a policy sees the endpoint
	After                  // a policy sees the frontend, and the endpoint in a second look
)

// Can tells what an engine can do.
func (e Engine) Can() Abilities {
	switch e {
	case EngineIPVS:
		return Abilities{Translates: After, Direct: true, AsksPods: true, Schedulers: true, OwnTimeouts: true}
	case EngineNftables:
		return Abilities{Translates: Before}
	}
	return Abilities{}
}
