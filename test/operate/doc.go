// Package operate tests the program as an operator meets it: started, asked, cleaned up, put in the place of
// others, and left running for long. The binary is the real one; a node is a network namespace.
package operate
