# bash completion for moonfence: commands and options, from its own help
_moonfence()
{
	local cur=${COMP_WORDS[COMP_CWORD]} words=() i help
	for ((i = 1; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == -- ]] && return
		[[ ${COMP_WORDS[i]} == -* ]] || words+=("${COMP_WORDS[i]}")
	done
	if [[ $cur == -* ]]; then
		help=$(moonfence "${words[@]:0:2}" --help 2>/dev/null || moonfence "${words[@]:0:1}" --help 2>/dev/null)
		mapfile -t COMPREPLY < <(compgen -W "$(grep -oE -- '--[a-z][a-z-]*' <<<"$help" | sort -u)" -- "$cur")
	elif [[ ${#words[@]} -eq 0 ]]; then
		help=$(moonfence --help 2>/dev/null | sed -n 's/^  \([a-z]*\)[ a-z]*  .*/\1/p' | sort -u)
		mapfile -t COMPREPLY < <(compgen -W "$help" -- "$cur")
	elif [[ ${#words[@]} -eq 1 ]]; then
		help=$(moonfence --help 2>/dev/null | sed -n "s/^  ${words[0]} \([a-z]\+\)  .*/\1/p")
		mapfile -t COMPREPLY < <(compgen -W "$help" -- "$cur")
		[[ ${#COMPREPLY[@]} -gt 0 ]] || mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -o filenames -F _moonfence moonfence
