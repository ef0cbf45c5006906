# repack.sh PACKAGE: makes a package file of what the image at /image has installed, so that it can
# be installed again without an archive. It brings the maintainer's files, whatever was edited since.
set -eu
package=$1
info=/image/var/lib/dpkg/info
of=$info/$package
test -e $of.list || of=$(ls $info/$package:*.list | head -n 1 | sed 's/\.list$//')
made=/root/repack/$package
rm -rf $made
mkdir -p $made/DEBIAN
dpkg-query --admindir=/image/var/lib/dpkg -s $package \
  | awk '/^Conffiles:/ {skip=1; next} /^[^ ]/ {skip=0} /^Status:/ {next} !skip' > $made/DEBIAN/control
for part in preinst postinst prerm postrm config templates conffiles triggers shlibs symbols md5sums; do
  test ! -e $of.$part || cp -p $of.$part $made/DEBIAN/$part
done
# Packages of before the merge of /usr name /bin and the like, which are links in the image.
for folder in bin sbin lib lib64; do
  ! grep -q "^/$folder/" $of.list || mkdir -p $made/$folder
done
sed -e '/^\/\.$/d' -e '/^\/\(bin\|sbin\|lib\|lib64\)$/d' -e 's/^/./' $of.list > /root/repack/list
tar -C /image --no-recursion --ignore-failed-read -cf - -T /root/repack/list | tar -C $made -xpf -
# A file of configuration that was made by a script is not part of the package.
dpkg-deb -Znone -b $made /root/repack/$package.deb >/dev/null
rm -rf $made
