#compdef continuo
autoload -Uz bashcompinit && bashcompinit
_continuo() {
	local cur=${COMP_WORDS[COMP_CWORD]} place='' words='' values='' i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--) COMPREPLY=($(compgen -f -- "$cur")); return ;;
		''|--home|--policy|--log|--log-level|--origin|--form|--fd|-d|--label) i=$((i + 1)) ;;
		-*) ;;
		*) place="$place ${COMP_WORDS[i]}" ;;
		esac
	done
	case " ${COMP_WORDS[COMP_CWORD-1]}" in
	*' --log') values=' text json' ;;
	*' --log-level') values=' error warning info debug' ;;
	*' --form') values=' raw hex' ;;
	esac
	if [ -n "$values" ]; then
		COMPREPLY=($(compgen -W "$values" -- "$cur"))
		return
	fi
	case ${place# } in
	'') words=' run vault check --home --policy --json --log --log-level --help' ;;
	'run') words=' --home --policy --json --log --log-level --help' ;;
	'vault') words=' set list --home --policy --json --log --log-level --help' ;;
	'vault set') words=' --origin --form --fd --label --force --home --policy --json --log --log-level --help' ;;
	'vault list') words=' --home --policy --json --log --log-level --help' ;;
	'check') words=' --home --policy --json --log --log-level --help' ;;
	esac
	if [ -n "$words" ]; then
		COMPREPLY=($(compgen -W "$words" -- "$cur"))
	fi
	if [ ${#COMPREPLY[@]} -eq 0 ]; then
		COMPREPLY=($(compgen -f -- "$cur"))
	fi
}
complete -F _continuo continuo
