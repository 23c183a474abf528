#!/bin/sh
# A stand-in for rc.common, procd.sh, jshn and uci of OpenWrt: what a script asks of them is printed, one call a line. Sourced by busybox's
# ash before the script under test. CONFIG_FILE is the configuration.
# shellcheck shell=dash
# shellcheck disable=SC3043 # ash has local

for function in open_instance close_instance set_param append_param add_jail add_jail_mount add_jail_mount_rw open_data close_data \
	add_reload_trigger add_restart_mount_trigger add_reload_interface_trigger set_config_changed; do
	eval "procd_$function() { echo procd_$function \"\$@\"; }"
done
for function in add_array add_object add_string close_object close_array; do eval "json_$function() { echo json_$function \"\$@\"; }"; done
logger() { shift 4; echo "log $*"; }
start() { start_service && service_started; }

# As procd.sh does it: the section's name is empty when the rules are only registered.
procd_add_validation() { "$@"; }

# ---- uci: config TYPE 'NAME' and option NAME 'VALUE', as milletd prints them ----
config_load() {
	eval "$(awk -v q="'" '
		$1 == "config" { gsub(q, "", $3); section = $3; print "uci_type_" section "=" $2 }
		$1 == "option" { value = $0; sub(/^[ \t]*option[ \t]+[a-z_]+[ \t]*/, "", value); print "uci_" section "_" $2 "=" value }
	' "${CONFIG_FILE:?}")"
}
config_get() { eval "$1=\${uci_$2_$3:-\${4:-}}"; }
config_get_bool() {
	config_get "$1" "$2" "$3" "${4:-}"
	eval "case \$$1 in 1 | on | true | yes | enabled) $1=1 ;; 0 | off | false | no | disabled) $1=0 ;; *) $1=${4:-} ;; esac"
}

# ---- /sbin/validate_data ----
is_number() { case $1 in '' | *[!0-9]*) return 1 ;; esac; }
# is_type TYPE VALUE
is_type() {
	local rest
	case $1 in
		or\(*)
			rest=${1#or(}
			rest=${rest%)}
			is_type "${rest%%, *}" "$2" || is_type "${rest#*, }" "$2" ;;
		\"*) [ "\"$2\"" = "$1" ] ;;
		range\(*)
			rest=${1#range(}
			rest=${rest%)}
			is_number "$2" && [ "$2" -ge "${rest%,*}" ] && [ "$2" -le "${rest#*,}" ] ;;
		uinteger) is_number "$2" ;;
		ufloat) case $2 in *[!0-9.]* | *.*.* | .) return 1 ;; esac ;;
		bool) case $2 in 0 | off | false | no | disabled | 1 | on | true | yes | enabled) ;; *) return 1 ;; esac ;;
		'hexstring(64,64)') [ ${#2} = 64 ] && case $2 in *[!0-9a-fA-F]*) return 1 ;; esac ;;
		uciname) case $2 in *[!A-Za-z0-9_]*) return 1 ;; esac ;;
		string) ;;
		*) echo "unknown type $1" && return 1 ;;
	esac
}
# PACKAGE TYPE NAME CALLBACK RULE...; an empty value is the default's.
uci_load_validate() {
	local section=$3 callback=$4 result=0 type=$2 value rule
	shift 4
	for rule in "$@"; do
		if [ -z "$section" ]; then
			echo "rule $type.$rule"
			continue
		fi
		eval "value=\${uci_${section}_${rule%%:*}:-}"
		[ -z "$value" ] || is_type "${rule#*:}" "$value" || result=1
	done
	[ -z "$callback" ] || "$callback" "$section" "$result"
}
