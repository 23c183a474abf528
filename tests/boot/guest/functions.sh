#!/bin/sh
# What /etc/uci-defaults asks of OpenWrt's /lib/functions.sh.
# shellcheck shell=dash
group_exists() { grep -q "^$1:" /etc/group; }
user_exists() { grep -q "^$1:" /etc/passwd; }
group_add_next() { echo "$1:x:65533:" >>/etc/group; }
# NAME UID GID DESCRIPTION HOME SHELL
user_add() { echo "$1:x:${2:-65533}:$3:$4:$5:$6" >>/etc/passwd; }
