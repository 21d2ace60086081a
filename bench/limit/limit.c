// limit: what a userspace director can reach at most on this machine. It receives and sends the same frames as natlb on the
// same kind of sockets (AF_PACKET with PACKET_VNET_HDR; a TPACKET_V2 ring of small slots, super-packets whole by recvmmsg;
// sendmmsg from the receive memory; poll when there is nothing), and does nothing else: no table, no timers, no counters.
// Which real server a client gets is a rule of its port, by its last bit but one (Linux connects from even ports); the
// service on ONE-PORT has the first server alone.
// MACs, one address and the checksums it is in are rewritten, or else no traffic would flow. One thread, IPv4, TCP and UDP.
//
//   limit VIP-IF DIP-IF VIP ONE-PORT CLIENT-MAC RIP1 MAC1 RIP2 MAC2
//
// Licence: Apache-2.0, as all of natlb.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64, SLOT = 2048, SLOTS = 32768, BLOCK = 64 << 10, STRIDE = (66 << 10) + 64, HEAD = 8,
       VNET = sizeof(struct virtio_net_hdr), NEEDS_CSUM = VIRTIO_NET_HDR_F_NEEDS_CSUM };

struct frame { uint8_t *data; uint32_t len; struct virtio_net_hdr vnet; };

struct port {
  int rx, tx;
  uint8_t mac[6];
  uint8_t *ring;
  unsigned next, lent;
  struct frame in[BATCH];
  struct mmsghdr copy[BATCH];  // super-packets, which do not fit a slot
  struct iovec copy_iov[BATCH];
  struct mmsghdr out[BATCH];
  struct iovec out_iov[BATCH][2];
};

struct end { uint32_t ip; uint8_t mac[6]; };  // address in network byte order

static uint32_t vip;  // network byte order
static uint16_t one_port;
static uint8_t client_mac[6];
static struct end server[2];

static void die(const char *what) { perror(what); exit(1); }

static void option(int fd, int level, int name, int value) {
  if (setsockopt(fd, level, name, &value, sizeof value)) die("setsockopt");
}

// IPv4 and ARP to this host, as natlb's own filter: not what a bridge floods
static struct sock_filter program[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_PKTTYPE),
    BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, PACKET_MULTICAST, 3, 0),
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_IP, 2, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_ARP, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, 0),
    BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
};

static void open_port(struct port *p, const char *name) {
  struct ifreq ifr = {0};
  snprintf(ifr.ifr_name, sizeof ifr.ifr_name, "%s", name);
  p->rx = socket(AF_PACKET, SOCK_RAW, 0);
  p->tx = socket(AF_PACKET, SOCK_RAW, 0);
  if (p->rx < 0 || p->tx < 0) die("socket");
  if (ioctl(p->rx, SIOCGIFHWADDR, &ifr)) die(name);
  memcpy(p->mac, ifr.ifr_hwaddr.sa_data, 6);
  if (ioctl(p->rx, SIOCGIFINDEX, &ifr)) die(name);

  option(p->rx, SOL_PACKET, PACKET_VNET_HDR, 1);
  option(p->tx, SOL_PACKET, PACKET_VNET_HDR, 1);
  option(p->rx, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
  option(p->rx, SOL_PACKET, PACKET_VERSION, TPACKET_V2);
  option(p->rx, SOL_PACKET, PACKET_RESERVE, 6);
  option(p->rx, SOL_PACKET, PACKET_COPY_THRESH, 1);
  option(p->rx, SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20);
  option(p->tx, SOL_SOCKET, SO_SNDBUFFORCE, 4 << 20);
  struct tpacket_req req = {.tp_block_size = BLOCK, .tp_block_nr = SLOTS * SLOT / BLOCK, .tp_frame_size = SLOT, .tp_frame_nr = SLOTS};
  if (setsockopt(p->rx, SOL_PACKET, PACKET_RX_RING, &req, sizeof req)) die("PACKET_RX_RING");
  p->ring = mmap(0, SLOTS * SLOT, PROT_READ | PROT_WRITE, MAP_SHARED, p->rx, 0);
  uint8_t *room = mmap(0, BATCH * STRIDE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p->ring == MAP_FAILED || room == MAP_FAILED) die("mmap");
  for (int i = 0; i < BATCH; i++) {
    p->copy_iov[i] = (struct iovec){room + i * STRIDE + HEAD, STRIDE - HEAD};
    p->copy[i].msg_hdr.msg_iov = &p->copy_iov[i];
    p->copy[i].msg_hdr.msg_iovlen = 1;
    p->out[i].msg_hdr.msg_iov = p->out_iov[i];
    p->out[i].msg_hdr.msg_iovlen = 2;
  }
  struct sock_fprog filter = {sizeof program / sizeof *program, program};
  if (setsockopt(p->rx, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter)) die("filter");
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = ifr.ifr_ifindex};
  if (bind(p->tx, (void *)&to, sizeof to)) die("bind");
  to.sll_protocol = htons(ETH_P_ALL);
  if (bind(p->rx, (void *)&to, sizeof to)) die("bind");
}

static struct tpacket2_hdr *slot(struct port *p, unsigned i) { return (void *)(p->ring + i % SLOTS * SLOT); }

// receive fills p->in from the ring, long frames from the queue, and returns how many.
static int receive(struct port *p) {
  for (; p->lent; p->lent--) __atomic_store_n(&slot(p, p->next - p->lent)->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
  int n = 0, copies = 0, at[BATCH];
  while (n < BATCH) {
    struct tpacket2_hdr *h = slot(p, p->next);
    uint32_t status = __atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE);
    if (!(status & TP_STATUS_USER)) break;
    p->next++, p->lent++;
    struct frame *f = &p->in[n];
    f->data = (uint8_t *)h + h->tp_mac, f->len = h->tp_snaplen;
    memcpy(&f->vnet, f->data - VNET, VNET);
    if (status & TP_STATUS_COPY) at[copies++] = n;
    n++;
  }
  if (copies) {
    int got = recvmmsg(p->rx, p->copy, copies, MSG_DONTWAIT | MSG_TRUNC, 0);
    for (int i = 0; i < got; i++) {
      p->in[at[i]].data = (uint8_t *)p->copy_iov[i].iov_base + VNET;
      p->in[at[i]].len = p->copy[i].msg_len - VNET;
    }
    for (int i = got < 0 ? 0 : got; i < copies; i++) p->in[at[i]].len = 0;
  }
  if (!n) {  // a ring keeps errors of the link until somebody asks
    int err;
    socklen_t size = sizeof err;
    getsockopt(p->rx, SOL_SOCKET, SO_ERROR, &err, &size);
  }
  return n;
}

static void transmit(struct port *p, struct mmsghdr *m, int n) {
  while (n > 0) {
    int k = sendmmsg(p->tx, m, n, MSG_DONTWAIT);
    if (k < 0 && errno == EAGAIN) {
      struct pollfd room = {p->tx, POLLOUT, 0};
      if (poll(&room, 1, 5) <= 0) return;
      continue;
    }
    if (k < 0) k = 1;  // refused: leave it out
    m += k, n -= k;
  }
}

// patch changes a checksum by a sum that has changed from old to new (RFC 1624); a partial one holds the plain sum.
static void patch(uint8_t *field, uint32_t old, uint32_t new, int partial) {
  uint16_t was;
  memcpy(&was, field, 2);
  uint64_t sum = partial ? was : (uint16_t)~was;
  sum += (uint64_t)(uint16_t)~old + (uint16_t)~(old >> 16) + (uint16_t)new + (new >> 16);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  uint16_t now = partial ? sum : ~sum;
  memcpy(field, &now, 2);
}

// readdress puts an address at an offset of the IP header, and follows it in the checksums.
static void readdress(struct frame *f, int at, uint32_t new) {
  uint8_t *ip = f->data + 14;
  uint32_t old;
  memcpy(&old, ip + at, 4);
  memcpy(ip + at, &new, 4);
  patch(ip + 10, old, new, 0);
  uint8_t *sum = ip + 20 + (ip[9] == IPPROTO_TCP ? 16 : 6);
  if (sum[0] | sum[1] || ip[9] == IPPROTO_TCP) patch(sum, old, new, f->vnet.flags & NEEDS_CSUM);
}

// answer_arp turns a question for the VIP into its answer.
static int answer_arp(struct frame *f, const uint8_t *mac) {
  uint8_t *arp = f->data + 14;
  if (f->len < 42 || arp[7] != 1 || memcmp(arp + 24, &vip, 4)) return 0;
  arp[7] = 2;
  memcpy(arp + 18, arp + 8, 10);  // the asker becomes the target
  memcpy(arp + 8, mac, 6);
  memcpy(arp + 14, &vip, 4);
  memcpy(f->data, arp + 18, 6);
  memcpy(f->data + 6, mac, 6);
  memset(&f->vnet, 0, VNET);
  return 1;
}

static void queue(struct port *p, int *n, struct frame *f) {
  p->out_iov[*n][0] = (struct iovec){&f->vnet, VNET};
  p->out_iov[*n][1] = (struct iovec){f->data, f->len};
  ++*n;
}

// serve moves one batch from one port to the other and returns its size. toServer: it comes from the clients.
static int serve(struct port *from, struct port *to, int to_server) {
  int n = receive(from), out = 0, back = 0;
  for (int i = 0; i < n; i++) {
    struct frame *f = &from->in[i];
    if (f->len < 42) continue;
    uint8_t *ip = f->data + 14;
    if (f->data[12] == 8 && f->data[13] == 6) {
      if (to_server && answer_arp(f, from->mac)) queue(from, &back, f);
      continue;
    }
    if (ip[0] != 0x45 || (ip[9] != IPPROTO_TCP && ip[9] != IPPROTO_UDP)) continue;
    uint32_t total = 14 + (ip[2] << 8 | ip[3]);
    if (total > f->len) continue;
    f->len = total;
    uint16_t sport = ip[20] << 8 | ip[21], dport = ip[22] << 8 | ip[23];
    if (to_server) {
      if (memcmp(ip + 16, &vip, 4)) continue;
      struct end *s = &server[dport != one_port && sport & 2];
      readdress(f, 16, s->ip);
      memcpy(f->data, s->mac, 6);
    } else {
      if (memcmp(ip + 12, &server[0].ip, 4) && memcmp(ip + 12, &server[1].ip, 4)) continue;
      readdress(f, 12, vip);
      memcpy(f->data, client_mac, 6);
    }
    memcpy(f->data + 6, to->mac, 6);
    queue(to, &out, f);
  }
  transmit(to, to->out, out);
  transmit(from, from->out, back);
  return n;
}

static void parse_mac(const char *text, uint8_t *mac) {
  if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6) die(text);
}

int main(int argc, char **argv) {
  if (argc != 10) {
    fprintf(stderr, "usage: limit VIP-IF DIP-IF VIP ONE-PORT CLIENT-MAC RIP1 MAC1 RIP2 MAC2\n");
    return 2;
  }
  static struct port port[2];
  vip = inet_addr(argv[3]);
  one_port = atoi(argv[4]);
  parse_mac(argv[5], client_mac);
  for (int i = 0; i < 2; i++) {
    server[i].ip = inet_addr(argv[6 + 2 * i]);
    parse_mac(argv[7 + 2 * i], server[i].mac);
  }
  open_port(&port[0], argv[1]);
  open_port(&port[1], argv[2]);
  struct pollfd fds[2] = {{port[0].rx, POLLIN, 0}, {port[1].rx, POLLIN, 0}};
  for (int both = 1;;) {
    int more = 0;
    for (int i = 0; i < 2; i++)
      if (both || fds[i].revents) more |= serve(&port[i], &port[!i], i == 0) == BATCH;
    both = more;  // neither port waits for the other to run dry
    if (!more) poll(fds, 2, 1000);
  }
}
