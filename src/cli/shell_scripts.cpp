// The scripts that teach a shell to ask `pgtwig __complete`. They know nothing of the commands themselves.
#include "base/error.h"
#include "cli/complete.h"

namespace pgtwig::cli {
namespace {

constexpr const char* bash_script = R"script(# Completion of pgtwig for bash, made by: pgtwig completion bash
_pgtwig() {
    local word line glued= strip=
    local -a typed=()
    local i
    # bash takes "--from=demo/dev@before" apart at "=" and "@"; here it is one word again.
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ ${#typed[@]} -gt 0 && ( $word == '@' || ( $word == '=' && ${typed[-1]} == --* ) ) ]]; then
            # What readline puts the answer in place of begins behind "=", but with "@".
            [[ $word == '@' ]] && strip=${typed[-1]}
            typed[-1]+=$word
            [[ $word == '=' ]] && strip=${typed[-1]}
            glued=yes
        elif [[ -n $glued ]]; then
            typed[-1]+=$word
            glued=
        else
            typed+=("$word")
            strip=
        fi
    done
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            :files) compopt -o default 2>/dev/null ;;
            :directories) compopt -o dirnames 2>/dev/null ;;
            *)
                line=${line%%$'\t'*}
                COMPREPLY+=("${line#"$strip"}")
                ;;
        esac
    done < <("${COMP_WORDS[0]/#\~/$HOME}" __complete -- "${typed[@]}" 2>/dev/null)
    # A project's name goes on with that of a branch.
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -F _pgtwig pgtwig
)script";

constexpr const char* zsh_script = R"script(#compdef pgtwig
# Completion of pgtwig for zsh, made by: pgtwig completion zsh
_pgtwig() {
    local line text meaning wish=
    local -a whole=() open=()
    for line in "${(@f)$(${(Q)words[1]} __complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
            '') continue ;;
            :files) wish=files; continue ;;
            :directories) wish=directories; continue ;;
        esac
        text=${line%%$'\t'*}
        meaning=
        [[ $line == *$'\t'* ]] && meaning=${line#*$'\t'}
        text=${text//:/\\:}${meaning:+:$meaning}
        if [[ ${line%%$'\t'*} == */ ]]; then open+=("$text"); else whole+=("$text"); fi
    done
    (( $#whole )) && _describe 'pgtwig' whole
    (( $#open )) && _describe 'pgtwig' open -S ''
    case $wish in
        files) _files ;;
        directories) _files -/ ;;
    esac
}
if [[ ${funcstack[1]} == _pgtwig ]]; then
    _pgtwig "$@"
elif (( $+functions[compdef] )); then
    compdef _pgtwig pgtwig
fi
)script";

constexpr const char* fish_script = R"script(# Completion of pgtwig for fish, made by: pgtwig completion fish
function __pgtwig_complete
    set -l typed (commandline -opc)
    set -l program $typed[1]
    set -e typed[1]
    set -l current (commandline -ct)
    test (count $current) -eq 0; and set current ''
    for line in ($program __complete -- $typed $current 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path $current
            case ':directories'
                __fish_complete_directories $current
            case '*'
                printf '%s\n' $line
        end
    end
end
complete -c pgtwig -f -a '(__pgtwig_complete)'
)script";

}  // namespace

std::string completion_script(const std::string& shell) {
  if (shell == "bash") return bash_script;
  if (shell == "zsh") return zsh_script;
  if (shell == "fish") return fish_script;
  throw Error(ErrorCode::invalid_argument, "no completion for " + shell, "there is one for bash, zsh and fish");
}

}  // namespace pgtwig::cli
