# natlb: bin/natlb, round robin over both servers, port mapping off. The VIP is on no interface and ip_forward stays 0:
# natlb answers ARP for it. NATLB_UP / NATLB_DOWN, shell text run in the director's namespace, replace start and end of
# the daemon; NATLB_UP must put its pid in $RUN_DIR/director.pid and add the services.
target() { echo "$VIP"; }
NATLB=${NATLB:-$(cd "$LAB_DIR/../.." && pwd)/bin/natlb}
export NATLB NATLB_SOCKET=$RUN_DIR/natlb.sock

default_up() {
  rm -f "$RUN_DIR/director.pid"
  "$NATLB" run --vip-if "$VIF" --dip-if "$DIF" --socket "$NATLB_SOCKET" >"$RUN_DIR/natlb.log" 2>&1 &
  echo $! >"$RUN_DIR/director.pid"
  for _ in {1..100}; do
    "$NATLB" -L -n >/dev/null 2>&1 && break
    kill -0 "$(cat "$RUN_DIR/director.pid")" 2>/dev/null || { echo "natlb ended at its start:" >&2; cat "$RUN_DIR/natlb.log" >&2; return 1; }
    sleep 0.05
  done
  for s in "-t $VIP:$HTTP_PORT" "-u $VIP:$UDP_PORT" "-t $VIP:$IPERF_PORT"; do
    "$NATLB" -A $s -s rr
    "$NATLB" -a $s -r $R1 -m
  done
  # iperf3 opens several connections that must meet the same server process: one server for its port
  "$NATLB" -a -t $VIP:$HTTP_PORT -r $R2 -m
  "$NATLB" -a -u $VIP:$UDP_PORT -r $R2 -m
}
up() {
  export VIP DIP R1 R2 VIF DIF RUN_DIR HTTP_PORT IPERF_PORT UDP_PORT
  export -f default_up
  nse "$DIR" bash -euc "${NATLB_UP:-default_up}"
  sleep 0.2
}
down() {
  export VIP DIP R1 R2 VIF DIF RUN_DIR
  [ -z "${NATLB_DOWN:-}" ] || nse "$DIR" bash -c "$NATLB_DOWN"
  local pid
  pid=$(cat "$RUN_DIR/director.pid")
  kill "$pid" 2>/dev/null || true
  for _ in {1..50}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  rm -f "$RUN_DIR/director.pid"
}
