#!/usr/bin/env python3
"""Command lines for ipvsadm, one at a time, and what the real one answers.

  lines.py gen  >cases               the command lines, from the tables of the grammar, and some at random
  lines.py play <cases >lines.jsonl  type them; in the guest, see README.md

A case is a list: words of the command line, name of the table that there is before, standard input. The first line of the records
is the tables; each other one is a case with what came of it: exit status, standard output, standard error, and what there is
afterwards if that has changed. internal/ipvsadm types them again.
"""
import itertools, json, random, subprocess, sys

TABLES = {
    'empty': '',
    'full': '''-A -t 10.0.0.1:80 -s rr
-a -t 10.0.0.1:80 -r 10.1.0.2:8080 -m -w 5 -x 10 -y 3
-a -t 10.0.0.1:80 -r 10.1.0.3:80 -g -w 1
-a -t 10.0.0.1:80 -r 10.1.0.4:80 -i -w 2 --tun-type gue --tun-port 6080
-A -u 10.0.0.1:53 -s wlc -p 600 -M 255.255.255.0
-a -u 10.0.0.1:53 -r 10.1.0.2:53 -m
-A --sctp-service 10.0.0.1:2905 -s lc
-A -f 5 -s sh -b sh-port
-a -f 5 -r 10.1.0.2:0 -m -w 3
-A -f 6 -6 -s rr
-a -f 6 -6 -r [fd01::2]:0 -m
-A -t [fd00::1]:80 -s wrr -p 300 -M 64
-a -t [fd00::1]:80 -r [fd01::2]:8080 -m
''',
}
SERVICE = {
    'none': [], 't': ['-t', '10.0.0.1:80'], 'u': ['-u', '10.0.0.1:53'], 'sctp': ['--sctp-service', '10.0.0.1:2905'],
    'f': ['-f', '5'], 'f6': ['-f', '6', '-6'], 't6': ['-t', '[fd00::1]:80'], 'absent': ['-t', '10.0.0.9:80'],
}
COMMANDS = {
    '-A': [['--add-service']], '-E': [['--edit-service']], '-D': [['--delete-service']], '-C': [['--clear']],
    '-L': [['--list'], ['-l']], '-a': [['--add-server']], '-e': [['--edit-server']], '-d': [['--delete-server']],
    '--set': [], '--start-daemon': [], '--stop-daemon': [], '-R': [['--restore']], '-S': [['--save']], '-Z': [['--zero']],
}
FLAGS = ['-n --numeric', '-c --connection', '--timeout', '--daemon', '--stats', '--rate', '--thresholds', '--persistent-conn', '--nosort',
         '--sort', '-X --exact', '-o --ops', '-6 --ipv6', '-g --gatewaying', '-i --ipip', '-m --masquerading', '--tun-info',
         '--tun-nocsum', '--tun-csum', '--tun-remcsum']
VALUES = {
    '-t --tcp-service': ['10.0.0.1:80', '10.0.0.7:81', '80', '', ':80', '10.0.0.1', '10.0.0.1:', '10.0.0.1:0', '10.0.0.1:65535', '10.0.0.1:65536', '10.0.0.1:-1',
                         '10.0.0.1:+80', '10.0.0.1: 80', '10.0.0.1:080', '10.0.0.1:0x50', '10.0.0.1:8x', '10.1:80', '10.257:80', '167772161:80', '0xa000001:80', '0:80',
                         '010.0.0.1:80', '08.0.0.1:80', '256.0.0.1:80', '1.2.3.4.5:80', '1..2:80', '1.2.3.:80', '255.255.255.255:80', '224.0.0.1:80', '0.0.0.0:80', '127.0.0.1:80',
                         'localhost:80', 'localhost:http', 'localhost', 'nosuch.invalid:80', '10.0.0.1:http', '10.0.0.1:HTTP', '10.0.0.1:www', '10.0.0.1:domain', '10.0.0.1:nosuch', '10.0.0.1:http ',
                         '[fd00::1]:80', '[fd00::1]', '[fd00::1]80', '[fd00::1]:', '[fd00::1]:http', '[fd00::1]:0', '[fd00::1]:65536', '[::]:80', '[::ffff:10.0.0.1]:80',
                         '[fd00::1', 'fd00::1]:80', '[fd00::1]]:80', '[[fd00::1]]:80', '[]:80', '[localhost]:80', '[fd00::1%lo]:80', 'fe80::1%1', 'fd00::1', 'fd00::1:80', '::1', '::', 'fd00:::80', ':::80',
                         'FD00::0001', '10.0.0.1:80:80', '-', '--', '-n', '10.0.0.1:80,10.0.0.2:80', 'a b:80', '10.0.0.1\t:80', '[fd00::1] :80', '[ fd00::1]:80', '+10.0.0.1:80', '10.0.0.1:80 '],
    '-u --udp-service': ['10.0.0.1:53', '10.0.0.1:domain', '10.0.0.1:ssh', '10.0.0.1:mdns', '10.0.0.7:53', '[fd00::5]:53', '10.0.0.1', '53'],
    '--sctp-service': ['10.0.0.1:2905', '10.0.0.1:http', '10.0.0.1:m3ua', '10.0.0.7:2905', '[fd00::5]:2905', '10.0.0.1', '53'],
    '-f --fwmark-service': ['5', '6', '7', '0', '1', '-1', '+5', ' 5', '5 ', '05', '0x5', '', '2147483647', '2147483648', '4294967295', '4294967296', '18446744073709551617', '1.5', 'five'],
    '-s --scheduler': ['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'dh', 'sh', 'sed', 'nq', 'fo', 'ovf', 'mh', '', 'RR', 'nosuch', 'rrrrrrrrrrrrrrrrrrrr', 'rr ', 'wlc wlc'],
    '-p --persistent': ['1', '360', '2678400', '0', '2678401', '-1', '', 'x', '+5', ' 5', '5x', '0x5', '4294967297', '-n', '-m'],
    '-M --netmask': ['255.255.255.0', '255.255.255.255', '0.0.0.0', '24', '255.0.255.0', '255', 'x', '', '64', '128', '0', '129', '-1', '64x', 'fd00::', 'localhost', '256.0.0.0', ' 64', '+64', '0x40',
                     '99999999999', '1', '255.255.255.0.', '4294967295'],
    '--pe': ['sip', 'nosuch', '', 'sipsipsipsipsipsipsip'],
    '-b --sched-flags': ['flag-1', 'flag-2', 'flag-3', 'flag-1,flag-2', 'flag-3,flag-1', 'sh-port', 'sh-fallback', 'sh-port,sh-fallback', 'mh-port', 'mh-fallback', 'mh-port,mh-fallback', 'nosuch', '',
                         'flag-1,', ',flag-1', 'flag-1,,flag-2', 'flag-1,nosuch', 'flag-1 flag-2', 'FLAG-1', 'flag-4', 'sh-port,mh-port', 'flag-1,sh-port', 'flag-1,flag-1', 'flag-3,sh-port'],
    '-r --real-server': ['10.1.0.2:8080', '10.1.0.2', '10.1.0.3', '10.1.0.4', '10.1.0.9:90', '10.1.0.9', '10.1.0.9:0', '10.1.0.9:http', '10.1.0.9:domain', '10.1.0.9:nosuch', '10.1.0.9:', '80', '', '[fd01::2]:8080', 'fd01::2',
                         '[fd01::9]:80', '[fd01::9]', '[10.1.0.9]80', '224.0.0.1', '255.255.255.255', '0.0.0.0', '127.0.0.1', 'localhost', 'nosuch.invalid', '[ff02::1]:80', '[fe80::1]:80', '[::1]:80', '[::]:80', '10.1.0.9:65536', '9.9'],
    '-w --weight': ['0', '1', '65535', '65536', '2147483647', '2147483648', '-1', '', 'x', '+5', ' 5', '5 ', '0x5', '1.5', '-n', '99999999999999999999', '007'],
    '-x --u-threshold': ['0', '1', '65536', '2147483647', '2147483648', '-1', '', 'x', '+5'],
    '-y --l-threshold': ['0', '1', '65536', '2147483647', '2147483648', '-1', '', 'x', '+5'],
    '--tun-type': ['ipip', 'gue', 'gre', 'GUE', '', 'gue ', 'vxlan', 'gr', 'greater'],
    '--tun-port': ['1', '6080', '65535', '0', '65536', '-1', '', 'x', '+5', 'http'],
    '--syncid': ['0', '1', '255', '256', '-1', '', 'x', '+5'],
    '--sync-maxlen': ['0', '1', '65507', '65508', '-1', '', 'x'],
    '--mcast-interface': ['lo', 'nosuch0', '', 'averyveryverylonginterfacename'],
    '--mcast-group': ['224.0.0.81', '239.1.2.3', '10.0.0.1', '', 'x', 'ff02::1', 'fd00::1', '224.1', '256.0.0.1', 'ff02::1%lo', ':', '[ff02::1]', '239.255.255.255', '240.0.0.1', '0xe0.0.0.1'],
    '--mcast-port': ['1', '8848', '65535', '0', '65536', '-1', '', 'x'],
    '--mcast-ttl': ['1', '255', '0', '256', '-1', '', 'x'],
}
ROLES = ['master', 'backup', 'both', '', 'MASTER', 'mast', '-n']
TIMEOUTS = [['1', '2', '3'], ['0', '0', '0'], ['2678400'] * 3, ['2678401', '1', '1'], ['1', '2678401', '1'], ['1', '1', 'x'], ['1', '1'], ['1'], [], ['1', '2', '3', '4'],
            ['-1', '2', '3'], ['1', '-2', '3'], ['1', '2', '-3'], ['', '1', '1'], ['+1', ' 2', '3'], ['1 ', '2', '3'], ['0x5', '1', '1'], ['--', '-1', '2', '3'], ['--', '1', '2', '3'],
            ['-n', '1', '2', '3'], ['1', '2', '3', '-n'], ['1', '2', '3', '--sort'], ['1', '--sort', '2', '3'], ['1', '2', '3', '-t', '10.0.0.1:80'], ['99999999999', '1', '1']]


def base(cmd, service='t'):
    """A line of cmd that nothing is wrong with."""
    return {
        '-A': ['-A', '-t', '10.0.0.7:81'], '-E': ['-E'] + SERVICE[service], '-D': ['-D'] + SERVICE[service], '-C': ['-C'], '-L': ['-L', '-n'],
        '-a': ['-a'] + SERVICE[service] + ['-r', '10.1.0.9:90'], '-e': ['-e'] + SERVICE[service] + ['-r', '10.1.0.3:80'],
        '-d': ['-d'] + SERVICE[service] + ['-r', '10.1.0.2:8080'], '--set': ['--set', '1', '2', '3'], '--start-daemon': ['--start-daemon', 'master', '--mcast-interface', 'lo'],
        '--stop-daemon': ['--stop-daemon', 'master'], '-R': ['-R'], '-S': ['-S', '-n'], '-Z': ['-Z'],
    }[cmd]


def legal_for(option):
    """A command that may take option, as a line for its values."""
    o = option.split()[0]
    if o in ('-s', '-p', '-M', '-o', '--pe', '-b'):
        return ['-A', '-t', '10.0.0.7:81']
    if o in ('--mcast-interface', '--syncid', '--mcast-group', '--mcast-port', '--mcast-ttl', '--sync-maxlen'):
        return ['--start-daemon', 'master']
    return ['-a', '-t', '10.0.0.1:80', '-r', '10.1.0.9:90']


def cases():
    yield [], 'full'
    # what stands first
    for w in ['-n', '-nL', '-Q', '--bogus', '--num', '--lis', '-', '--', 'foo', '-w', '--weight', '-w5', '-list', '-6', '-p', '--sort', '--=', '---', '-=', '--start-daemon', '--stop-daemon', '-LQ', '-L=', '-L=n', '--list=n', '-h=1',
              '-L-n', '-L-', '-Ln-', '-Ln=', '-Ln=c', '-nn', '-A-t', '', ' -L', '-L ']:
        yield [w], 'full'
        yield [w, '-L'], 'full'
        yield [w, '10.0.0.1:80', '-A'], 'full'
    for w in ['foo', '-', '--', '', '#', '-Q', '--bogus', '--bogus=1', '--num', '-v', '-h', '-D', '-Z', '--set', '-R', '-S', '-C', '--restore', '--version', '-L', '-l', '--list', '-nQ', '-nh', '-hn', '-n=', '-n=1', '--numeric=', '--numeric=1', '--sort=1', '-w', '--weight', '-t',
              '-6', '-6n', '-Z=', '-nn', '-X=1', '-cn', '-nc', '--help=1', '-A', '--start-daemon', '--start-daemon=master', '--stop-daemon']:
        yield ['-L', w], 'full'
        yield ['-L', '-n', w], 'full'
        yield ['-A', w, '-t', '10.0.0.7:81'], 'full'
        yield ['-L', '--', w], 'full'
        yield [w, '-L', '-n'], 'full'
    # a command alone, twice, in its long forms
    for c, longs in COMMANDS.items():
        yield [c], 'full'
        for l in longs:
            yield l + base(c)[1:], 'full'
            yield l, 'full'
        yield base(c) + ['foo'], 'full'
        yield base(c) + ['--', '-n'], 'full'
        yield base(c) + ['--sort', '--sort'], 'full'
        yield base(c), 'empty'
        yield base(c) + ['-6'], 'full'
        for d in COMMANDS:
            yield base(c) + [d], 'full'
        for name, s in SERVICE.items():
            if c in ('-A', '-E', '-D', '-a', '-e', '-d', '-Z', '-L', '-S', '-C'):
                yield [c] + s, 'full'
                yield [c] + s + ['-r', '10.1.0.2'], 'full'
                yield [c] + s + ['-r', '10.1.0.2:8080', '-m'], 'full'
                yield [c, '-r', '10.1.0.2'] + s + ['-m'], 'full'
                yield [c, '-r', '10.1.0.2:http'] + s, 'full'
                yield [c] + s + ['-r', '[fd01::2]:8080', '-m'], 'full'
                yield [c] + s + ['-r', 'fd01::2', '-i'], 'full'
                yield [c] + s + ['-M', '64', '-p'], 'full'
                yield [c, '-p', '-M', '255.255.0.0'] + s, 'full'
                yield [c] + s + ['-o'], 'full'
                yield [c] + s + ['-n'], 'full'
    # every option with every command
    for c in COMMANDS:
        for f in FLAGS:
            for spelling in f.split():
                yield base(c) + [spelling], 'full'
            yield base(c) + [f.split()[0], f.split()[0]], 'full'
        for o, values in VALUES.items():
            for spelling in o.split():
                yield base(c) + [spelling, values[0]], 'full'
            yield base(c) + [o.split()[-1] + '=' + values[0]], 'full'
            yield base(c) + [o.split()[0]], 'full'
    # every value of every option, in every spelling
    for o, values in VALUES.items():
        short, long = o.split()[0], o.split()[-1]
        for v in values:
            if o[:2] in ('-t', '-u', '-f') or 'sctp' in o:
                for c in (['-A'], ['-Z'], ['-L', '-n'], ['-A', '-p']):
                    yield c + [long, v], 'full'
                yield ['-a', short, v, '-r', '10.1.0.9'], 'full'
                yield ['-A' + short.lstrip('-') + v] if len(short) == 2 else ['-A', long + '=' + v], 'empty'
            elif short == '-r':
                for m in ('-m', '-g', '-i'):
                    yield ['-a', '-t', '10.0.0.1:80', short, v, m], 'full'
                    yield ['-e', '-t', '10.0.0.1:80', short, v, m], 'full'
                yield ['-a', '-t', '[fd00::1]:80', short, v, '-m'], 'full'
                yield ['-a', '-f', '5', short, v, '-m'], 'full'
                yield ['-a', '-u', '10.0.0.1:53', long + '=' + v, '-m'], 'full'
                yield ['-a', short, v, '-t', '10.0.0.1:80', '-m'], 'full'
                yield ['-d', '-t', '10.0.0.1:80', short, v], 'full'
                yield ['-a', '-t', '10.0.0.1:80', short, v], 'full'
            else:
                yield legal_for(o) + [short, v], 'full'
                yield legal_for(o) + [long + '=' + v], 'full'
                if len(short) == 2:
                    yield legal_for(o) + [short + v], 'full'
                    yield legal_for(o) + [short + '=' + v], 'full'
                if short == '-M':
                    for s in (['-t', '[fd00::7]:81'], ['-f', '7'], ['-f', '7', '-6']):
                        yield ['-A'] + s + [short, v, '-p'], 'full'
                    yield ['-A', short, v, '-p', '-t', '[fd00::7]:81'], 'full'
                    yield ['-A', '-f', '7', short, v, '-6', '-p'], 'full'
                    yield ['-A', '-t', '10.0.0.7:81', '-p', short, v], 'full'
                if short == '-b':
                    for s in ('rr', 'sh', 'mh', 'nosuch', ''):
                        yield ['-A', '-t', '10.0.0.7:81', '-s', s, short, v], 'full'
                        yield ['-A', '-b', v, '-s', s, '-t', '10.0.0.7:81'], 'full'
                    yield ['-L', '-n', '-b', v], 'full'
                if short == '-s':
                    yield ['-E', '-t', '10.0.0.1:80', short, v], 'full'
                    yield ['-E', '-f', '5', '-b', 'sh-port', short, v], 'full'
                if short == '-p':
                    yield ['-A', '-t', '10.0.0.7:0', short, v], 'full'
                    yield ['-A', short, v, '-t', '10.0.0.7:0'], 'full'
                if short == '--pe':
                    yield ['-A', '-u', '10.0.0.7:81', '-p', short, v], 'full'
                    yield ['-A', '-f', '7', '-o', short, v], 'full'
    # the words of --set and of the daemons
    for t in TIMEOUTS:
        yield ['--set'] + t, 'full'
    for c, r in itertools.product(('--start-daemon', '--stop-daemon'), ROLES):
        yield [c, r], 'full'
        yield [c + '=' + r, '--syncid', '7'], 'full'
        yield [c, r, '-n'], 'full'
    # pairs for listings
    short_flags = [f.split()[0] for f in FLAGS[:11]] + ['--tun-info']
    for a, b in itertools.permutations(short_flags, 2):
        yield ['-L', '-n', a, b], 'full'
    for a, b, c in itertools.combinations(['-c', '--timeout', '--daemon', '--stats', '--rate', '--thresholds', '--persistent-conn', '-t'], 3):
        yield ['-L', '-n'] + sum([[x] + (['10.0.0.1:80'] if x == '-t' else []) for x in (a, b, c)], []), 'full'
    for f in short_flags:
        for s in SERVICE.values():
            yield ['-L', '-n', f] + s, 'full'
        yield ['-L', f], 'full'
    # tunnels
    tun = ['--tun-nocsum', '--tun-csum', '--tun-remcsum']
    for m, kind, port in itertools.product(('-i', '-m', '-g', None), ('ipip', 'gue', 'gre', None), ('6080', None)):
        for n in range(4):
            for sums in itertools.combinations(tun, n):
                line = ['-a', '-t', '10.0.0.1:80', '-r', '10.1.0.9'] + ([m] if m else []) + (['--tun-type', kind] if kind else []) + (['--tun-port', port] if port else []) + list(sums)
                yield line, 'full'
    for kind in ('ipip', 'gue', 'gre'):
        yield ['-e', '-t', '10.0.0.1:80', '-r', '10.1.0.4', '-i', '--tun-type', kind] + (['--tun-port', '7'] if kind == 'gue' else []), 'full'
        yield ['-a', '-t', '10.0.0.1:80', '-r', '[fd01::9]:90', '-i', '--tun-type', kind] + (['--tun-port', '7'] if kind == 'gue' else []), 'full'
    # edits replace everything
    for s, r in (('t', '10.1.0.2:8080'), ('t', '10.1.0.3:80'), ('t', '10.1.0.4:80'), ('u', '10.1.0.2:53'), ('f', '10.1.0.2:0')):
        for m in ([], ['-m'], ['-g'], ['-i']):
            for more in ([], ['-w', '0'], ['-x', '7'], ['-x', '7', '-y', '7'], ['-y', '7'], ['-x', '5', '-y', '7'], ['-w', '9', '-x', '100', '-y', '50']):
                yield ['-e'] + SERVICE[s] + ['-r', r] + m + more, 'full'
                yield ['-a'] + SERVICE[s] + ['-r', '10.1.0.9:99'] + m + more, 'full'
    for s in SERVICE.values():
        for more in ([], ['-s', 'rr'], ['-p'], ['-p', '5'], ['-p=5', '-M', '255.255.0.0'], ['-o'], ['-b', 'flag-2'], ['-s', 'mh', '-b', 'mh-port'], ['-s', 'sh', '-b', 'flag-1,flag-3'], ['--pe', 'sip'], ['-p', '--pe', 'sip']):
            yield ['-E'] + s + more, 'full'
    # bundles
    for b in (['-Lnt', '10.0.0.1:80'], ['-LnX', '--stats'], ['-at10.0.0.1:80', '-r10.1.0.9', '-mw5'], ['-at=10.0.0.1:80', '-r=10.1.0.9', '-mw=5'], ['-amt', '10.0.0.1:80', '-wr', '10.1.0.9'], ['-amx', '5', '-y5', '-t', '10.0.0.1:80', '-r', '10.1.0.9'],
              ['-Atp', '10.0.0.7:81', '5'], ['-Apt', '10.0.0.7:81'], ['-Ap5t', '10.0.0.7:81'], ['-Aof7'], ['-Af7o'], ['-Af', '7', '-o6'], ['-Af7', '-6o'], ['-A6f7'], ['-Lnf6', '-6'], ['-Zf5'], ['-Zt', '10.0.0.1:80'], ['-Sn'], ['-Snn'], ['-lnc'],
              ['-Lcn', '--sort'], ['-LcX'], ['-dt', '10.0.0.1:80', '-mr', '10.1.0.2'], ['-dmt', '10.0.0.1:80'], ['-Dn'], ['-Cn'], ['-CC'], ['-LL'], ['-Ll'], ['-Rn'], ['-hh'], ['-vv'], ['-hv'], ['-vh'], ['-hL'], ['-hQ'], ['-vQ'], ['-h', '-Q'], ['-v', 'foo']):
        yield b, 'full'
    # conflicts: pairs of options that act on the same thing
    for a, b in itertools.product((['-g'], ['-i'], ['-m'], ['--masquerading']), repeat=2):
        yield ['-a', '-t', '10.0.0.1:80', '-r', '10.1.0.9'] + a + b, 'full'
    for a, b in itertools.product((['-t', '10.0.0.7:81'], ['-u', '10.0.0.7:81'], ['-f', '7'], ['--sctp-service', '10.0.0.7:81'], ['-r', '10.1.0.9'], ['-w', '1'], ['-p'], ['-o']), repeat=2):
        yield ['-A'] + a + b, 'full'
        yield ['-a'] + a + b, 'full'
    # restore
    for text in STDIN:
        yield ['-R'], 'full', text
        yield ['--restore'], 'empty', text
    # no address is every service; what listings take without need
    for s in (['-t', '0.0.0.0'], ['-t', '0.0.0.0:0'], ['-t', '::'], ['-t', '[::]:0'], ['-t', '::1'], ['-u', '0.0.0.0'], ['-t', '0.0.0.0:80'], ['-t', '[::]:80'], ['-t', '10.0.0.1']):
        yield ['-Z'] + s, 'full'
    for s in (['-t', '0.0.0.0'], ['-t', '::']):
        yield ['-D'] + s, 'full'
        yield ['-L', '-n'] + s, 'full'
    for f in ('-c', '--timeout', '--stats', '--daemon'):
        yield ['-L', '-n', f, '--syncid', '1'], 'full'
    yield ['-L', '-n', '--syncid', '256'], 'full'
    # and at random
    rnd = random.Random(131)
    for _ in range(RANDOM):
        yield random_line(rnd), rnd.choice(['full', 'full', 'full', 'empty'])


RANDOM = 2500
STDIN = [
    '', '\n', '\n\n', '-A -t 10.0.0.7:81\n', '-A -t 10.0.0.7:81', '-A -t 10.0.0.7:81\r\n-A -t 10.0.0.8:81\r\n', '\t-A\t-t 10.0.0.7:81  -s\trr\t\n', 'ipvsadm -A -t 10.0.0.7:81\n', '-A ipvsadm -t ipvsadm 10.0.0.7:81\n', '/sbin/ipvsadm -A -t 10.0.0.7:81\n-C\n',
    '-A -t "10.0.0.7:81"\n-C\n', "-A -t '10.0.0.7:81'\n", '-A -t 10.0.0.7:81;\n-C\n', '-A -t 10.0.0.7:81 \\\n-s rr\n-C\n', '# comment\n-A -t 10.0.0.7:81\n', '-A -t 10.0.0.7:81 # comment\n-C\n', '#\n', '-A -t 10.0.0.7:81\n#x\n-C\n', '   \n\t\n-A -t 10.0.0.7:81\n',
    'foo\n-C\n', '-R\n-C\n', '-A -t 10.0.0.7:81\n--restore\n-C\n', '-A -R\n-C\n', '-h\n-C\n', '-v\n-C\n', '-A -t 10.0.0.7:81\n-v\n-C\n', '-L -n\n-S -n\n', '-Ln\n-C\n-Ln\n', '-L --timeout\n--set 7 8 9\n-L --timeout\n', '-Q\n-C\n', '-A -t 10.0.0.7:81 -Q\n-D -f 5\n', '-A -t 10.0.0.7:81 -w\n-D -f 5\n',
    '--bogus\n-C\n', '-A --bogus\n-D -f 5\n', '-A\n-C\n', '-A -t 80\n-C\n', '-A -t 10.0.0.1:80\n-D -f 5\n', '-A -t 10.0.0.1:80\n', '-D -f 5\n-A -t 10.0.0.1:80\n', '-A -t 10.0.0.1:80\n-A -t 10.0.0.1:80\n-D -f 5\n', '-Ln -t 10.0.0.9:80\n-C\n', '-Z -t 10.0.0.9:80\n-C\n', '-D -t 10.0.0.9:80\n-E -t 10.0.0.9:80\n-a -t 10.0.0.9:80 -r 1.1.1.1\n-d -t 10.0.0.1:80 -r 1.1.1.1\n',
    '-A -t 10.0.0.7:81 -s nosuch\n-D -f 5\n', '--set 1 2\n-C\n', '--set 1 2 3\n-L --timeout\n', '-L -n --numeric=1\n-D -f 5\n', '-L foo\n-C\n', '--start-daemon foo\n-C\n', '-a -t 10.0.0.1:80 -r [fd01::9]:1 -m\n-C\n', '-a -t 10.0.0.1:80 -r 10.1.0.9 -m -y 5\n-D -f 5\n', '-C\n-A -t 10.0.0.7:81\n-a -t 10.0.0.7:81 -r 10.1.0.9:90 -m\n',
    '-A -t 10.0.0.7:81 -b ,,nosuch\n-C\n', '-L -n --stats --rate\n-D -f 5\n', '-L --timeout --stats\n-C\n', '-6\n-C\n', '-A -6 -f 7\n-C\n', 'ipvsadm\n', 'ipvsadm\n-C\n', 'ipvsadm ipvsadm\n-D -f 5\n', '-\n-C\n', '--\n-C\n', '-L -\n-C\n', '\x0b-C\n', '-D -f 5\x0c\n', '-Z\n-Z\n', '-S\n-C\n-S\n',
]


def random_line(rnd):
    cmd = rnd.choice(list(COMMANDS))
    line = [cmd]
    if cmd == '--set':
        line += rnd.choice(TIMEOUTS)
    elif cmd.endswith('daemon'):
        line.append(rnd.choice(ROLES[:3]))
    parts = []
    if rnd.random() < .9 and cmd in ('-A', '-E', '-D', '-a', '-e', '-d', '-Z') or rnd.random() < .1:
        parts.append(list(rnd.choice(list(SERVICE.values()))))
    if rnd.random() < .9 and cmd in ('-a', '-e', '-d') or rnd.random() < .05:
        parts.append(['-r', rnd.choice(['10.1.0.2:8080', '10.1.0.3', '10.1.0.4', '10.1.0.9:90', 'fd01::2', '[fd01::2]:8080', '10.1.0.2'])])
    fitting = {'-A': '-s -p -M -o --pe -b', '-E': '-s -p -M -o --pe -b', '-a': '-g -i -m -w -x -y --tun-type --tun-port --tun-csum', '-e': '-g -i -m -w -x -y --tun-type --tun-port --tun-nocsum',
               '-L': '-n -c --stats --rate --thresholds --persistent-conn --nosort -X --tun-info --timeout --daemon --sort', '-S': '-n', '--start-daemon': '--mcast-interface --syncid --mcast-group --mcast-port --mcast-ttl --sync-maxlen', '--stop-daemon': '--syncid'}.get(cmd, '').split()
    everything = {x.split()[0]: x for x in FLAGS + list(VALUES)}
    for _ in range(rnd.choice([0, 1, 1, 2, 2, 3, 4])):
        o = everything[rnd.choice(fitting) if fitting and rnd.random() < .85 else rnd.choice(list(everything))]
        spelling = rnd.choice(o.split())
        if o in FLAGS:
            parts.append([spelling])
            continue
        v = rnd.choice(VALUES[o][:6] if rnd.random() < .8 else VALUES[o])
        how = rnd.random()
        if spelling == '-p' and how < .3:
            parts.append(['-p'])
        elif how < .6:
            parts.append([spelling, v])
        elif how < .8 or spelling.startswith('--'):
            parts.append([spelling + '=' + v])
        else:
            parts.append([spelling + v])
    if rnd.random() < .5:
        rnd.shuffle(parts)
    line += sum(parts, [])
    if rnd.random() < .05:
        line.insert(rnd.randrange(len(line) + 1), rnd.choice(['foo', '--', '-', '-L', '-n', '--sort']))
    return line


def ipvsadm(args, stdin=''):
    p = subprocess.run(['ipvsadm'] + args, input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    return p.returncode & 0xff if p.returncode >= 0 else 128 - p.returncode, p.stdout.decode('latin1'), p.stderr.decode('latin1')


def table():
    """What the director has, by one process: saved lines, thresholds, timeouts."""
    return ipvsadm(['-R'], '-S -n\n-L -n --thresholds\n-L --timeout\n')[1]


def start(name):
    """Makes a table from nothing and says what it then is."""
    ipvsadm(['-R'], '-C\n--set 900 120 300\n' + TABLES[name])
    return table()


def stop_daemons(words):
    numbers = {'0', '7'} | {n for w in words for n in w.split('=')[-1:] if n.isdigit()}
    for role, syncid in itertools.product(('master', 'backup'), numbers):
        ipvsadm(['--stop-daemon', role, '--syncid', syncid])


def play(cases, out):
    current = before = None
    print(json.dumps(TABLES), file=out)
    for words, name, *stdin in cases:
        stdin = stdin[0] if stdin else ''
        if current != name:
            current, before = name, start(name)
        rc, text, errs = ipvsadm(words, stdin)
        if 'Usage:' in text:  # of the help, that it came
            text = text.split('Usage:')[0]
        r = {'args': words, 'table': name, 'rc': rc}
        for key, value in ('stdin', stdin), ('out', text), ('err', errs):
            if value:
                r[key] = value
        if stdin or rc == 0 and not text.startswith(('IP', 'Prot')):
            after = table()
            if after != before:
                r['after'], current = after, None
            if any('-daemon' in w for w in words):
                stop_daemons(words)
        print(json.dumps(r), file=out)


if __name__ == '__main__':
    if sys.argv[1:] == ['gen']:
        seen = set()
        for c in cases():
            key = json.dumps(c)
            if key not in seen:
                seen.add(key)
                print(key)
    elif sys.argv[1:] == ['play']:
        play([json.loads(l) for l in sys.stdin], sys.stdout)
    else:
        sys.exit(__doc__)
