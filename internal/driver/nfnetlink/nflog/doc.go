// Package nflog reads what rules of ours log: packets that policies and Services ended, with the prefix that names why. The kernel hands
// them in batches to one listener a group; without one it drops the copies.
package nflog
