package lab

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// Start starts cmd inside the namespace. The process is killed when the
// namespace is closed and when this process dies, however that happens. Wait is
// the caller's, as after exec.Cmd.Start. cmd.SysProcAttr, if given, is kept but
// for its Pdeathsig.
func (n *Namespace) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error, 1)
	select {
	case n.starts <- func() { started <- cmd.Start() }:
	case <-n.closed:
		started <- os.ErrClosed
	}
	if err := <-started; err != nil {
		return fmt.Errorf("lab: in %s: %w", n.name, err)
	}
	return nil
}

// Run starts cmd inside the namespace and waits for its end; the error is that
// of exec.Cmd.Run.
func (n *Namespace) Run(cmd *exec.Cmd) error {
	if err := n.Start(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}
