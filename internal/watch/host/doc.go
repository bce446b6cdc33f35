// Package host watches the links and addresses of this node and turns them into model values. Links that
// we make ourselves (bridge, dummy, tunnels) and those of pods are left out: they follow from the model,
// and a model that looked at them would chase its own tail.
//
// A kernel notification only says that it is time to look: links and addresses are then read as a whole
// and compared with what was told before. A lost notification (ENOBUFS) is thereby one like any other,
// and many that arrive during one reading are answered by the next.
package host
