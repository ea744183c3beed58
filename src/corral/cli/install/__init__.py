"""The server as a service of the machine: its unit file, and the calls to systemctl and journalctl. Linux with systemd only."""
